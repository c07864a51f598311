/**
 * No call waits for itself: a callback that awaits the end of its own term would wait for a call that waits for it.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Awaiting, CallbackFrames } from '../util/callback-frames.ts';
import { clock } from '../util/clock.ts';

/** How often to look whether a callback has begun to wait for the call meanwhile, at least, in milliseconds. */
const LOOK_EVERY_MS = 250;

/**
 * Waits until it is over, or until a callback of this candidate turns out to await the call at hand.
 *
 * @returns that callback; undefined if it is over.
 */
export async function overUnlessAwaited(
  over: Promise<void>,
  frames: CallbackFrames,
): Promise<Awaiting | undefined> {
  const done = new AbortController();
  void over.then(() => done.abort());
  await nextTurn(); // the release is sent first; and the caller has had the time to await us, or to go on
  for (let waitMs = 1; !done.signal.aborted; waitMs = Math.min(2 * waitMs, LOOK_EVERY_MS)) {
    const awaiting = frames.awaiting();
    if (awaiting !== undefined) {
      done.abort();
      return awaiting;
    }
    await clock.sleep(waitMs, done.signal);
  }
  return undefined;
}
