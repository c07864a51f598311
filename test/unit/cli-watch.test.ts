import { PassThrough } from 'node:stream';
import { expect, test, vi } from 'vitest';
import { parseCommand } from '../../src/cli/arguments.ts';
import { View, watch } from '../../src/cli/watch.ts';
import { grpcServer, headerOf } from '../support/grpc-server.ts';

/** The signals of the pauses of this process between two probes. */
const { pauses } = vi.hoisted(() => ({ pauses: [] as AbortSignal[] }));
vi.mock('node:timers/promises', async (original) => {
  const timers = await original<typeof import('node:timers/promises')>();
  const setTimeout: typeof timers.setTimeout = (ms, value, options) => {
    if (options?.signal !== undefined) pauses.push(options.signal);
    return timers.setTimeout(ms, value, options);
  };
  return { ...timers, setTimeout };
});

test('watch stops its probes if etcd refuses the observer after the start', async () => {
  let reads = 0;
  const etcd = await grpcServer((name) => {
    if (name !== 'Range' || reads++ === 0) return { body: headerOf(7n) };
    return { status: 7, message: 'etcdserver: permission denied' };
  });
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const terminal = { env: {}, stdout, stderr, stdin: process.stdin };
  await expect(watch(['e', '--endpoints', etcd.host], terminal)).rejects.toThrow(
    /refuses us: .*permission denied/,
  );
  expect(pauses.map(({ aborted }) => aborted)).toEqual([true]);
});

test('watch prints a leader once, although both the probe and the observer report it', () => {
  const stdout = new PassThrough();
  const terminal = { env: {}, stdout, stderr: new PassThrough(), stdin: process.stdin };
  const view = new View('e', parseCommand(['e', '--json'], {}), terminal);
  const alice = { key: 'k', value: 'alice', fencingToken: 2n, leaseId: '1' };
  const observed = { ...alice, isMe: false };
  view.show(observed);
  view.unknown();
  view.show(alice);
  view.show(observed);
  view.show(undefined);
  view.show(undefined);
  view.show(observed);
  const lines = String(stdout.read()).trim().split('\n');
  const shown = lines.map((line) => JSON.parse(line) as { leader?: unknown });
  const leader = { key: 'k', value: 'alice', fencingToken: '2', leaseId: '1' };
  expect(shown.map((document) => document.leader)).toEqual([leader, undefined, leader, null, leader]);
});
