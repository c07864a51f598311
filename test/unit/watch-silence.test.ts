import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { History } from '../../src/etcd/history.ts';
import type { EtcdTransport, OpenStream } from '../../src/etcd/transport.ts';
import { SharedWatch } from '../../src/etcd/watch.ts';
import type { WatchRequest } from '../../src/etcd/watch-stream.ts';
import { eventually } from '../support/eventually.ts';

// A gateway that opens watch streams and passes nothing on: streams open, and no watch is ever answered.

const NOTICE_WITHIN_MS = 60;
const PACE_MS = 10;

const ends: (() => void)[] = [];
afterEach(() => ends.splice(0).forEach((end) => end()));

/**
 * @param answers whether requests are answered after all, after two turns of the event loop.
 * @param noticeWithinMs how soon the first watch must notice the silence.
 */
function watchInSilence({ answers = false, noticeWithinMs = NOTICE_WITHIN_MS } = {}) {
  const seen = {
    reads: 0,
    unconfirmed: [] as number[],
    lost: 0,
    asked: 0,
    blockNextMs: 0,
    answers,
    /** Breaks the first watch, so that the stream must be confirmed. */
    breakFirst: (): void => undefined,
    /** Begins another watch. @returns a function that ends it. */
    watch:
      (_withinMs: number): (() => void) =>
      () =>
        undefined,
  };
  const stream = (): Promise<OpenStream<never, never>> => {
    const write = ({ create_request: asked }: { create_request?: WatchRequest & { watch_id: number } }) => {
      if (!seen.answers || asked === undefined) return;
      seen.asked++;
      const isProbe = asked.range_end !== undefined && asked.key?.equals(asked.range_end) === true;
      const refusal = { canceled: true, cancel_reason: 'mvcc: watcher range is empty' };
      const header = { revision: '9' };
      const rest = { header, events: [], compact_revision: '0', created: true };
      const answer = (): void =>
        void raw.emit('data', {
          ...rest,
          watch_id: String(asked.watch_id),
          canceled: false,
          cancel_reason: '',
          ...(isProbe && refusal),
        });
      setImmediate(() => {
        const untilMs = performance.now() + seen.blockNextMs;
        while (performance.now() < untilMs);
        seen.blockNextMs = 0;
        setImmediate(answer); // timers fire before it
      });
    };
    const raw = Object.assign(new EventEmitter(), { write });
    const broken = { header: { revision: '9' }, events: [], compact_revision: '8', created: false };
    seen.breakFirst = () =>
      void raw.emit('data', { ...broken, watch_id: '1', canceled: true, cancel_reason: 'compacted' });
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
  const target = () => ({
    keyPrefix: 'election/e/',
    keys: () => undefined,
    reload: () => Promise.resolve(BigInt(++seen.reads)),
    onEvents: () => undefined,
    onConfirmed: () => undefined,
    onRefused: () => undefined,
  });
  seen.watch = (withinMs) => {
    const { end } = sharedWatch.watch(target(), withinMs, 1n);
    ends.push(end);
    return end;
  };
  seen.watch(noticeWithinMs);
  return seen;
}

test('L4: without a confirmed watch for one TTL the queue is read repeatedly, and one line says so', async () => {
  const seen = watchInSilence();
  await expect.poll(() => seen.reads, { timeout: 5_000, interval: 5 }).toBeGreaterThan(3);
  expect(seen.unconfirmed).toHaveLength(1);
  expect(seen.unconfirmed[0]).toBeGreaterThanOrEqual(NOTICE_WITHIN_MS);
});

test('L4: an answer to a probe that arrived while the event loop was blocked is in time', async () => {
  const seen = watchInSilence({ answers: true });
  await eventually(() => seen.asked > 2, { withinMs: 5_000 });
  const { asked } = seen;
  seen.blockNextMs = 2 * NOTICE_WITHIN_MS;
  await eventually(() => seen.blockNextMs === 0 && seen.asked > asked + 2, { withinMs: 5_000 });
  expect(seen.lost).toBe(0);
});

test('L4: a watch with a shorter TTL notices the silence within that TTL, although the next probe is due later', async () => {
  const seen = watchInSilence({ answers: true, noticeWithinMs: 600_000 });
  await eventually(() => seen.asked > 0, { withinMs: 5_000 });
  seen.answers = false;
  seen.watch(NOTICE_WITHIN_MS);
  await eventually(() => seen.lost > 0, { withinMs: 5_000 });
});

test('L4: a watch with a shorter TTL notices the silence, although a probe with a longer limit is still unanswered', async () => {
  const seen = watchInSilence({ answers: true, noticeWithinMs: 600_000 });
  await eventually(() => seen.asked > 0, { withinMs: 5_000 });
  await sleep(PACE_MS); // its answer has arrived
  seen.answers = false;
  seen.breakFirst();
  await sleep(2 * PACE_MS); // the probe was sent
  expect(seen.lost, 'the watch is broken').toBe(1);
  seen.watch(NOTICE_WITHIN_MS);
  await eventually(() => seen.lost > 1 || seen.unconfirmed.length > 0, { withinMs: 5_000 });
});

test('C1: when the watch with the shortest TTL has ended, the stream is probed as seldom as the others need', async () => {
  const seen = watchInSilence({ answers: true, noticeWithinMs: 600_000 });
  const end = seen.watch(NOTICE_WITHIN_MS);
  await eventually(() => seen.asked > 5, { withinMs: 5_000 });
  end();
  await sleep(2 * NOTICE_WITHIN_MS); // a probe may be under way, and one more timer may run
  const { asked } = seen;
  await sleep(3 * NOTICE_WITHIN_MS);
  expect(seen.asked).toBe(asked);
});
