import { PassThrough } from 'node:stream';
import { describe, expect, test, vi } from 'vitest';
import { parseCommand } from '../../src/cli/arguments.ts';
import { narratorFor, silentLogger } from '../../src/cli/narrator.ts';
import { inWordsOfRun, tellLongTtl } from '../../src/cli/run/run-lines.ts';
import { parseRun } from '../../src/cli/run/run-options.ts';
import type { Terminal } from '../../src/cli/terminal.ts';
import type { ElectionEvent, UnusualUsage } from '../../src/events.ts';
import { writeLine } from '../../src/logging/event-lines.ts';
import { resolveOptions } from '../../src/options.ts';
import { all } from './event-samples.ts';

/** Names that only a programmer can use: calls, callbacks and options. */
const OF_THE_API =
  /\w\(\)|\bon[A-Z]\w+|\bterm\.\w+|\b(?:ttlSeconds|allowLongTtl|lastWill|ifFree|whenWorkEnds|\w+(?:Ms|TimeoutMs))\b/;

/** What `run` cannot cause: it has no onFollower, observes nothing, writes nothing, and uses no old term. */
const NOT_OF_RUN: ReadonlySet<string> = new Set([
  'options.unusual', // tested below
  'follower.overdue',
  'observers.many',
  'txn.uncommitted',
  'write.failed',
  'term.stale',
]);

function told(event: ElectionEvent, json: boolean): string {
  const stderr = new PassThrough();
  const narrator = narratorFor({ env: {}, stderr } as unknown as Terminal, { json, quiet: false });
  writeLine(event, inWordsOfRun(narrator.logger), 0);
  return String((stderr.read() as Buffer | null) ?? '');
}

const usages: ElectionEvent[] = (['exit', 'shared-value'] satisfies UnusualUsage[]).map((usage) => ({
  type: 'usage.unusual',
  election: 'e',
  usage,
  reason: 'call election.close(), or set lastWill: true',
}));

describe('the lines of run', () => {
  test.for([...all.map(({ event }) => event), ...usages].filter(({ type }) => !NOT_OF_RUN.has(type)))(
    '$type names no option and no call of the library',
    (event) => {
      const text = told(event, false);
      expect(text).not.toMatch(OF_THE_API);
      expect(text).not.toMatch(/undefined|NaN|\[object/);
      const { message = '', reason = '' } = JSON.parse(told(event, true) || '{}') as Record<string, string>;
      expect(message + reason).not.toMatch(OF_THE_API);
    },
  );

  test('a warning about the options names none of them', () => {
    const { warnings } = resolveOptions('leader', { ttlSeconds: 3_600, allowLongTtl: true });
    expect(warnings).toHaveLength(1); // the name
    expect(told({ type: 'options.unusual', election: 'leader', reason: warnings[0]! }, false)).not.toMatch(
      OF_THE_API,
    );
  });

  test('keep the error of a failed callback', () => {
    const event = {
      type: 'callback.failed',
      election: 'e',
      callback: 'onLeader',
      error: new Error('why'),
    } as const;
    expect(told(event, false)).toBe('etcd-election: the command could not be run in "e": Error: why\n');
  });

  test('an unusually long TTL is a warning that names --ttl', () => {
    const warn = vi.fn();
    const of = (seconds: number) => parseRun(['e', '--ttl', String(seconds), '--', 'x'], {});
    tellLongTtl(of(300), { ...silentLogger, warn });
    expect(warn).not.toHaveBeenCalled();
    tellLongTtl(of(3_600), { ...silentLogger, warn });
    const reason = '--ttl is 3600 s: if this machine dies, no replica leads for up to 60 minutes';
    expect(warn).toHaveBeenCalledExactlyOnceWith({ event: 'options.unusual', election: 'e', reason }, reason);
  });
});

test.for([
  ['http://undefined:2379', /^--endpoints: expected no "undefined" in it/],
  ['http://${HOST}:2379', /^--endpoints: expected no "\$\{HOST\}" in it/],
  ['http://me:secret@a:2379', /^--endpoints: (?!.*secret).*--user$/],
] as const)('endpoints that the library refuses are a wrong command line: %s', ([endpoint, message]) => {
  expect(() => parseCommand(['--endpoints', endpoint], {})).toThrow(
    expect.objectContaining({ name: 'UsageError', message: expect.stringMatching(message) as string }),
  );
});
