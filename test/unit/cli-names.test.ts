import { describe, expect, test } from 'vitest';
import { parseCommand } from '../../src/cli/arguments.ts';
import { queuesOf } from '../../src/cli/candidates.ts';
import { evict } from '../../src/cli/evict.ts';
import { parseRun } from '../../src/cli/run/run-options.ts';
import { status, textOf } from '../../src/cli/status.ts';
import { paletteFor } from '../../src/cli/terminal.ts';
import { watch } from '../../src/cli/watch.ts';

describe('names and prefixes that the library refuses', () => {
  test.for([
    ['an unset variable', 'job-undefined'],
    ['quotes', '"job"'],
    ['a blank', ' job'],
    ['a template', '${JOB}'],
    ['a reserved name', '.writes'],
    ['an invisible character', 'jo\u200bb'],
    ['too many bytes', 'j'.repeat(1_025)],
  ] as const)(
    'a NAME that the library refuses is a wrong command line in every command: %s',
    async ([, name]) => {
      const terminal = { env: {}, stdout: process.stdout, stderr: process.stderr, stdin: process.stdin };
      const refused = { name: 'UsageError', message: expect.stringMatching(/^NAME: expected /) as string };
      for (const command of [status, watch, evict])
        await expect(command([name], terminal)).rejects.toMatchObject(refused);
      expect(() => parseRun([name, '--', 'x'], {})).toThrow(expect.objectContaining(refused));
    },
  );

  test.for(['//app/', 'app//', 'app', ' app/', 'undefined/', '.writes/', 'ap\u200bp/'])(
    'a prefix that the library refuses is a wrong command line: %j',
    (prefix) => {
      const message = expect.stringMatching(/^--prefix: expected /) as string;
      expect(() => parseCommand(['--prefix', prefix], {})).toThrow(
        expect.objectContaining({ name: 'UsageError', message }),
      );
    },
  );

  test('status without a NAME shows an election of such a name, and says how to see all of it', () => {
    const keys = Array.from({ length: 12 }, (_, index) => ({
      key: Buffer.from(`election/job-undefined/${index}`),
      value: Buffer.from('v'),
      create_revision: String(index + 1),
      lease: '0',
    }));
    const view = { palette: paletteFor({ isTTY: false }, {}), name: undefined, most: 10, columns: undefined };
    const text = String(textOf(queuesOf(keys, 'election/'), new Map(), view, 'election/'));
    expect(text).toMatch(/^job-undefined\n\* leads/);
    expect(text).toMatch(/ {2}and 2 more: status --json shows all$/);
  });
});
