import type { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { created, fakeStream, message, rangeOf, watchThrough } from '../support/fake-watch.ts';

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
  const open = (): EventEmitter => {
    const stream = fakeStream((asked, raw) => {
      if (!seen.answers) return;
      seen.asked++;
      setImmediate(() => {
        const untilMs = performance.now() + seen.blockNextMs;
        while (performance.now() < untilMs);
        seen.blockNextMs = 0;
        setImmediate(() => void raw.emit('data', created(asked))); // timers fire before it
      });
    });
    const broken = { watch_id: '1', canceled: true, cancel_reason: 'compacted', compact_revision: '8' };
    seen.breakFirst = () => void stream.emit('data', message(broken));
    return stream;
  };
  const sharedWatch = watchThrough(open, PACE_MS, {
    onLost: () => seen.lost++,
    onUnconfirmed: (silentMs) => seen.unconfirmed.push(silentMs),
  });
  const target = () => rangeOf('election/e/', () => Promise.resolve(BigInt(++seen.reads)));
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
