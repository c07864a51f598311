import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import type { Callbacks } from '../../src/campaign/callbacks.ts';
import { EarlierCallbacks } from '../../src/campaign/earlier-callbacks.ts';
import { untilNextTurn } from '../../src/util/clock.ts';
import { Deferred } from '../../src/util/deferred.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const callbacks = { workAfterTermMs: 7_000, followingMs: 12 } as Callbacks;

test('shows the work until it has settled, and wakes everyone who waits for it', async () => {
  const work = new Deferred<void>();
  const earlier = new EarlierCallbacks(callbacks, work.promise);
  expect([earlier.isSettled, earlier.workAfterTermMs, earlier.followingMs]).toEqual([false, 7_000, 12]);
  const waits = [1, 2].map(() => earlier.settled(new AbortController().signal));
  work.resolve();
  await Promise.all(waits);
  expect([earlier.isSettled, earlier.workAfterTermMs, earlier.followingMs]).toEqual([true, 0, 0]);
  await earlier.settled(new AbortController().signal);
});

test('callbacks that never settle keep no campaign in memory that has waited for them', async () => {
  const earlier = new EarlierCallbacks(callbacks, new Promise(() => undefined));
  const waitOnce = async (): Promise<WeakRef<object>> => {
    const stop = new AbortController();
    const campaign = {};
    const wait = earlier.settled(stop.signal).then(() => campaign);
    stop.abort();
    return new WeakRef(await wait);
  };
  const campaigns = await Promise.all(Array.from({ length: 10 }, waitOnce));
  await untilNextTurn();
  collectGarbage();
  expect(campaigns.filter((campaign) => campaign.deref() !== undefined)).toEqual([]);
  expect(earlier.isSettled).toBe(false);
});
