import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { profile } from '../../../src/cli/profile.ts';
import type { Terminal } from '../../../src/cli/terminal.ts';
import { RunawayChild, buildDiagnostics, nodes } from '../../support/diagnostics-child.ts';

let module: string;
let folder: string;
beforeAll(async () => {
  module = await buildDiagnostics();
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'profile-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A terminal that records all output. */
function terminal(isTTY: boolean): { terminal: Terminal; out: () => string; err: () => string } {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const text = { out: '', err: '' };
  stdout.on('data', (data: Buffer) => (text.out += data.toString()));
  stderr.on('data', (data: Buffer) => (text.err += data.toString()));
  const streams = {
    stdout: Object.assign(stdout, { isTTY }),
    stderr: Object.assign(stderr, { isTTY }),
    stdin: process.stdin,
  };
  return { terminal: { env: {}, ...streams }, out: () => text.out, err: () => text.err };
}

describe('etcd-election profile URL', () => {
  it('of a spinning service prints top, shows a progress bar and writes the files', async () => {
    await using child = await RunawayChild.start({ module, kind: 'sync', options: { serve: {} } });
    await child.begin();
    const { terminal: screen, out, err } = terminal(true);
    const path = join(folder, 'it');
    expect(
      await profile([await child.said(({ url }) => url), '--seconds', '0.7', '--out', path], screen),
    ).toBe(0);
    expect(out()).toMatch(/flat%.*[\s\S]*guiltySync .*runaway-child\.mjs:\d+/);
    expect(err()).toMatch(/recording █*░+ 0 of 0.7 s/);
    for (const ending of ['html', 'pb.gz', 'cpuprofile'])
      expect(existsSync(`${path}.${ending}`), ending).toBe(true);
    expect(readFileSync(`${path}.html`, 'utf8')).toContain('guiltySync');
  });

  it('prints the answer of the service and its possible cause', async () => {
    const serve = { token: 'correct-horse-battery' };
    await using child = await RunawayChild.start({ module, kind: 'idle', options: { serve } });
    const url = await child.said((each) => each.url);
    const { terminal: pipe, out, err } = terminal(false);
    await expect(profile([url, '--seconds', '1'], pipe)).rejects.toThrow(/answered 401: a token is needed/);
    await expect(profile(['http://127.0.0.1:1'], pipe)).rejects.toThrow(
      /check that the service calls serveDiagnostics/,
    );
    expect(out() + err()).toBe('');
    expect(
      await profile([url, '--seconds', '0.2', '--token', serve.token, '--out', join(folder, 'it')], pipe),
    ).toBe(0);
    expect(err()).toBe(''); // without a terminal there is no progress bar
  });

  it.each([
    [[]],
    [['here']],
    [['http://a', 'http://b']],
    [['http://a', '--pid', '1']],
    [['http://a', '--seconds', 'abc']],
    [['--pid', 'x']],
    [['--nothing']],
  ])('refuses %j', async (args) => {
    await expect(profile(args, terminal(false).terminal)).rejects.toMatchObject({ name: 'UsageError' });
  });
});

describe.each(nodes)('etcd-election profile --pid, on $name', ({ path: node, missing }) => {
  const isElsewhere = process.platform !== 'linux';

  it.skipIf(missing || isElsewhere)('profiles an unprepared, spinning process, which survives', async () => {
    const script =
      'process.stdin.once("data", function guilty() { const end = Date.now() + 4000; while (Date.now() < end) Math.sqrt(end); console.log("over"); process.stdin.destroy(); }); console.log("here")';
    const { NODE_OPTIONS: _options, NODE_V8_COVERAGE: _coverage, ...env } = process.env;
    const service = spawn(node, ['-e', script], { env, stdio: ['pipe', 'pipe', 'ignore'] });
    try {
      await once(service.stdout, 'data');
      service.stdin.write('now\n');
      const { terminal: pipe, out } = terminal(false);
      expect(
        await profile(['--pid', String(service.pid), '--seconds', '0.5', '--out', join(folder, 'it')], pipe),
      ).toBe(0);
      expect(out()).toContain('Look at guilty');
      const [over] = (await once(service.stdout, 'data')) as [Buffer];
      expect(over.toString()).toBe('over\n');
      expect(await once(service, 'exit')).toEqual([0, null]);
    } finally {
      service.kill('SIGKILL');
    }
  });
});

it.skipIf(process.platform !== 'linux')('sends no signal to a process that it would kill', async () => {
  const other = spawn('sleep', ['60']);
  try {
    await once(other, 'spawn');
    await expect(profile(['--pid', String(other.pid)], terminal(false).terminal)).rejects.toThrow(
      /does not catch SIGUSR1/,
    );
    expect(other.exitCode).toBeNull();
  } finally {
    other.kill('SIGKILL');
    await once(other, 'exit');
  }
});
