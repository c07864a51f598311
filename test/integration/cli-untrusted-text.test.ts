import { describe, expect } from 'vitest';
import { test } from '../support/world.ts';
import { cli, etcdElection, json, START_MS } from '../support/cli-program.ts';

describe('text that other clients have written', () => {
  const EVIL = [
    '\u001b]0;owned\u0007',
    '\u009b31m',
    '\u202eevil',
    '\r\n* leads  mallory',
    '\u2028',
    '\u200f',
    '\u{e0041}',
  ];
  // eslint-disable-next-line no-control-regex -- that is the point
  const UNCLEAN = /(?!\n)[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\u{e0000}-\u{e007f}]/u;

  test('is cleaned before it reaches a terminal: names, keys and values in every command', async ({
    etcd,
    prefix,
    world,
  }) => {
    const evil = EVIL.join('');
    const run = cli(etcd.endpoints, prefix);
    await world.own.put(`${prefix}${evil}/1${evil}`).value(evil).exec();
    await world.own.put(`${prefix}tame/1${evil}`).value(evil).exec();
    const watcher = run(['watch', 'tame']); // as NAME, a name with control characters is refused
    await watcher.says(/leads/, START_MS);
    watcher.child.kill('SIGINT');
    const programs = [watcher, run(['status']), run(['status', '--json'])];
    for (const program of programs) await program.over(); // before its key is deleted
    programs.push(
      run(['status', evil]),
      run(['watch', evil]),
      run(['watch', evil, '--typo', evil]),
      run(['evict', evil, '--yes', '--token', '1']),
      run(['evict', evil, '--yes']),
      run(['evict', evil, '--yes']),
      run(['run', evil, '--', `/no/${evil}`]),
      run(['doctor', '--ttl', evil]),
      run(['profile', `http://127.0.0.1:1/${evil}`]),
      run([evil]),
      etcdElection(['status', '--prefix', `${evil}/`], { ETCDCTL_ENDPOINTS: etcd.endpoints.join() }),
    );
    for (const program of programs) await program.over();
    for (const program of programs)
      expect(JSON.stringify(program.stdout + program.stderr)).toBe(
        JSON.stringify((program.stdout + program.stderr).replace(new RegExp(UNCLEAN, 'gu'), '')),
      );
    const [, text, document, refused] = programs;
    expect(text!.stdout.split('\n')).toHaveLength(7); // a heading, two elections of two lines: the text adds none
    expect(await refused!.exit()).toBe(2);
    expect(JSON.stringify(json(document!))).toContain(JSON.stringify(evil).slice(1, -1));
  });
});
