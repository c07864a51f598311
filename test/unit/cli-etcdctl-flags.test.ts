import { expect, test } from 'vitest';
import { parseCommand } from '../../src/cli/arguments.ts';

// Forms of flags and variables that are legal in etcdctl.

const connection = (args: string[], env = {}) => parseCommand(args, env).connection;

test('--endpoints several times adds up, as in etcdctl', () => {
  const env = { ETCDCTL_ENDPOINTS: 'c:1' };
  expect(connection(['--endpoints', 'a:1', '--endpoints=b:1,d:1'], env).endpoints).toEqual([
    'http://a:1',
    'http://b:1',
    'http://d:1',
  ]);
});

test.for([
  ['1m30s', 90_000],
  ['1h', 3_600_000],
  ['1h0m0.5s', 3_600_500],
  ['1s500ms', 1_500],
  ['1.5m', 90_000],
  ['7', 7_000],
] as const)('a time may have several units: %s', ([text, ms]) => {
  expect(connection([], { ETCDCTL_COMMAND_TIMEOUT: text }).timeoutMs).toBe(ms);
  expect(connection(['--command-timeout', text]).timeoutMs).toBe(ms);
});

test.for(['soon', '1m30', '30s1', '1.m', '1d', '-1s', '1m 30s'])('%j is not a time', (text) => {
  expect(() => connection([], { ETCDCTL_COMMAND_TIMEOUT: text })).toThrow(
    `ETCDCTL_COMMAND_TIMEOUT: expected a time such as 800ms, 5s, 2m or 1h30m, got ${text}`,
  );
});

test('an error names the variable that has the wrong value', () => {
  expect(() => connection([], { ETCDCTL_COMMAND_TIMEOUT: '0' })).toThrow(
    /^ETCDCTL_COMMAND_TIMEOUT: expected/,
  );
  expect(() => connection([], { ETCDCTL_INSECURE_TRANSPORT: 'no' })).toThrow(
    /^ETCDCTL_INSECURE_TRANSPORT: expected/,
  );
  expect(() => connection(['--command-timeout=0'], { ETCDCTL_COMMAND_TIMEOUT: '5s' })).toThrow(
    /^--command-timeout: expected/,
  );
});
