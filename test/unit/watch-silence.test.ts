import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { History } from '../../src/etcd/history.ts';
import type { EtcdTransport, OpenStream } from '../../src/etcd/transport.ts';
import { SharedWatch } from '../../src/etcd/watch.ts';

// A gateway that opens watch streams and passes nothing on: streams begin, and no watch is ever answered.

const NOTICE_WITHIN_MS = 60;
const PACE_MS = 10;

const ends: (() => void)[] = [];
afterEach(() => ends.splice(0).forEach((end) => end()));

function watchInSilence() {
  const seen = { reads: 0, unconfirmed: [] as number[], lost: 0 };
  const stream = (): Promise<OpenStream<never, never>> => {
    const raw = Object.assign(new EventEmitter(), { write: () => undefined });
    const end = (): void => undefined;
    return Promise.resolve({ raw, onLost: end, close: end, fail: end, leave: end } as unknown as OpenStream<
      never,
      never
    >);
  };
  const transport: Partial<EtcdTransport> = {
    history: new History(),
    provenAtMs: Number.POSITIVE_INFINITY,
    stream: stream as EtcdTransport['stream'],
  };
  const sharedWatch = new SharedWatch({
    transport: transport as EtcdTransport,
    backoff: { pass: () => sleep(PACE_MS), healthyFor: () => undefined, wake: () => undefined },
    onLost: () => seen.lost++,
    onHealed: () => undefined,
    onUnconfirmed: (silentMs) => seen.unconfirmed.push(silentMs),
    onProxied: () => undefined,
  });
  const target = {
    electionKeys: 'election/e/',
    keys: undefined,
    reload: () => Promise.resolve(BigInt(++seen.reads)),
    onEvents: () => undefined,
    onConfirmed: () => undefined,
    onRefused: () => undefined,
  };
  ends.push(sharedWatch.watch(target, NOTICE_WITHIN_MS, 1n).end);
  return seen;
}

test('L4: while no watch is confirmed for one TTL the queue is read instead, again and again; that is told once', async () => {
  const seen = watchInSilence();
  await expect.poll(() => seen.reads, { timeout: 5_000, interval: 5 }).toBeGreaterThan(3);
  expect(seen.unconfirmed).toHaveLength(1);
  expect(seen.unconfirmed[0]).toBeGreaterThanOrEqual(NOTICE_WITHIN_MS);
});
