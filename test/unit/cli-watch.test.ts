import { PassThrough } from 'node:stream';
import { expect, test, vi } from 'vitest';
import { watch } from '../../src/cli/watch.ts';
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
