import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { commandPath } from '../support/cli-program.ts';
import { Program } from '../support/programs.ts';

// `completion SHELL` prints a script. Each installed shell runs it here.

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'etcd-election-completion-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function scriptFor(shell: string): Promise<string> {
  const program = new Program(commandPath(), ['completion', shell]);
  expect(await program.exit(), program.stderr).toBe(0);
  const file = join(folder, `script.${shell}`);
  writeFileSync(file, program.stdout);
  return file;
}

function run(shell: string, flags: readonly string[], script: string): string[] {
  const { status, stdout, stderr } = spawnSync(shell, [...flags, '-c', script], { encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return stdout.trim().split('\n');
}

const isThere = (shell: string): boolean => spawnSync(shell, ['-c', 'exit 0']).status === 0;
const named = (shell: string): string => (isThere(shell) ? shell : `${shell} (skipped: not installed)`);

describe(named('bash'), () => {
  test.skipIf(!isThere('bash'))('completes commands and flags, but nothing after --', async () => {
    const file = await scriptFor('bash');
    const complete = (...words: string[]): string[] =>
      run(
        'bash',
        ['--norc'],
        `source ${file}; COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; ` +
          '_etcd_election; printf "%s\\n" "${COMPREPLY[@]}"',
      );
    expect(complete('etcd-election', 'st')).toEqual(['status']);
    expect(complete('etcd-election', 'help', 'do')).toEqual(['doctor']);
    expect(complete('etcd-election', 'run', 'x', '--if')).toEqual(['--if-free']);
    expect(complete('etcd-election', 'status', '--endp')).toEqual(['--endpoints']);
    expect(complete('etcd-election', 'run', 'x', '--', 'cmd', '--if')).toEqual(['']);
    expect(complete('etcd-election', 'completion', 'z')).toEqual(['zsh']);
  });
});

describe(named('zsh'), () => {
  test.skipIf(!isThere('zsh'))('completes commands and flags', async () => {
    const file = await scriptFor('zsh');
    // These stubs of the completion system print their arguments.
    const stubs =
      'compdef() { :; }; compadd() { shift; print -l -- "$@"; }; _describe() { print -l -- ${(P)2}; }; _normal() { print normal $CURRENT $words; };';
    const complete = (...words: string[]): string[] =>
      run(
        'zsh',
        ['-f'],
        `${stubs} source ${file}; words=(${words.join(' ')}); CURRENT=${words.length}; _etcd_election`,
      );
    expect(complete('etcd-election', 's').map((line) => line.split(':')[0])).toEqual(
      expect.arrayContaining(['help', 'run', 'status', 'doctor']),
    );
    expect(complete('etcd-election', 'run', '--i')).toEqual(
      expect.arrayContaining(['--if-free', '--endpoints']),
    );
    // zsh chooses the completion by the first word. With ours still there, it would call itself for ever.
    expect(complete('etcd-election', 'run', 'x', '--', 'cmd')).toEqual(['normal 1 cmd']);
    expect(complete('etcd-election', 'run', 'x', '--', 'cmd', '--', 'y')).toEqual(['normal 3 cmd -- y']);
  });
});

describe(named('fish'), () => {
  test.skipIf(!isThere('fish'))('completes commands and flags', async () => {
    const file = await scriptFor('fish');
    const complete = (line: string): string[] =>
      run('fish', ['--no-config'], `source ${file}; complete -C ${JSON.stringify(line)}`).map(
        (row) => row.split('\t')[0]!,
      );
    expect(complete('etcd-election st')).toEqual(['status']);
    expect(complete('etcd-election run --if')).toEqual(['--if-free']);
    expect(complete('etcd-election help do')).toEqual(['doctor']);
  });
});

test('an unknown shell is a wrong command line', async () => {
  const program = new Program(commandPath(), ['completion', 'tcsh']);
  expect(await program.exit()).toBe(2);
  expect(program.stderr).toContain('bash, zsh or fish');
});
