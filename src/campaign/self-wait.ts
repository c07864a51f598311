/**
 * No call waits for itself: a callback that awaits the end of its own term would wait for a call that waits for it. Nor do
 * callbacks of several elections wait for each other in a circle.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { CallbackFrames, type Awaiting } from '../util/callback-frames.ts';
import { clock } from '../util/clock.ts';

/** The longest time between two checks whether a callback now awaits the call, in milliseconds. */
const LOOK_EVERY_MS = 250;

/** Added to that time for every call that checks at present. So all calls together check at most 200 times a second. */
const MS_PER_CALL = 5;

let looking = 0;

/** A callback that waits until the callbacks of another candidate are over. */
interface Wait {
  readonly by: Awaiting;
  readonly for: string;
  /** Whether it is the one in its circle that is not waited for. */
  isBroken: boolean;
}

const waits = new Set<Wait>();

/**
 * Waits until it is over, or until a callback of this candidate turns out to await the call at hand: by itself, or through
 * callbacks of other candidates that await each other.
 *
 * @param over what waits for the callbacks of this candidate.
 * @returns that callback; undefined if it is over.
 */
export async function overUnlessAwaited(
  over: Promise<void>,
  frames: CallbackFrames,
): Promise<Awaiting | undefined> {
  const done = new AbortController();
  void over.then(() => done.abort());
  let own: Wait | undefined;
  looking++;
  try {
    await nextTurn(); // the release is sent first; and the caller has had the time to await us, or to go on
    for (let waitMs = 1; !done.signal.aborted; waitMs = Math.min(2 * waitMs, longestLookMs())) {
      const awaiting = CallbackFrames.awaiting();
      const self = awaiting.find(({ frames: { candidate } }) => candidate === frames.candidate);
      if (self === undefined && own === undefined && awaiting[0] !== undefined)
        waits.add((own = { by: awaiting[0], for: frames.candidate, isBroken: false }));
      const found = self ?? (own === undefined ? undefined : breakCircle(own));
      if (found !== undefined) {
        done.abort();
        return found;
      }
      await clock.sleep(waitMs, done.signal);
    }
    return undefined;
  } finally {
    looking--;
    if (own !== undefined) waits.delete(own);
  }
}

const longestLookMs = (): number => LOOK_EVERY_MS + looking * MS_PER_CALL;

/** @returns the callback that need not be waited for, if the wait closes a circle that is not broken yet. */
function breakCircle(closing: Wait): Awaiting | undefined {
  if (closing.isBroken) return undefined;
  const reached = new Set<string>();
  const leads = (wait: Wait): boolean => {
    if (wait.isBroken || reached.has(wait.for)) return false;
    if (wait.for === closing.by.frames.candidate) return true;
    reached.add(wait.for);
    return waitsOf(wait.for).some(leads);
  };
  const first = waitsOf(closing.for).find(leads);
  if (first === undefined) return undefined;
  first.isBroken = true;
  return first.by;
}

const waitsOf = (candidate: string): Wait[] =>
  [...waits].filter(({ by }) => by.frames.candidate === candidate);
