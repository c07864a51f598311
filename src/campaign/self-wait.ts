/**
 * A callback may await the end of its own term, although that end waits for the callback. This file prevents that deadlock. It
 * also breaks circles in which callbacks of several elections wait for each other.
 */
import { CallbackFrames, type Awaiting } from '../util/callback-frames.ts';
import { clock, untilNextTurn } from '../util/clock.ts';

/** The longest interval at which a waiting call checks if a callback awaits it, in milliseconds. */
const LOOK_EVERY_MS = 250;

/** Added to {@link LOOK_EVERY_MS} for each waiting call. So all calls together make at most about 200 checks a second. */
const MS_PER_CALL = 5;

let looking = 0;

/** A callback that waits until the callbacks of another candidate are over. */
interface Wait {
  readonly by: Awaiting;
  readonly for: string;
  /** Whether this wait was released to break its circle. */
  isBroken: boolean;
}

const waits = new Set<Wait>();

/**
 * Waits for `ended`. The wait also ends if a callback of this candidate awaits the present call. It may do so directly, or
 * through callbacks of other candidates that await each other.
 *
 * @param ended a promise that settles after the callbacks of this candidate.
 * @returns that callback; undefined if `ended` has settled.
 */
export async function endOrAwaiter(
  ended: Promise<void>,
  frames: CallbackFrames,
): Promise<Awaiting | undefined> {
  const done = new AbortController();
  void ended.then(() => done.abort());
  let own: Wait | undefined;
  looking++;
  try {
    await untilNextTurn(); // lets the delete of the key be sent, and lets the caller begin to await us
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

/**
 * If the wait closes a circle, breaks that circle.
 *
 * @returns the callback that is released; undefined if there is no circle.
 */
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
