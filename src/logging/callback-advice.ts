/**
 * Advice in the log line of a callback that failed. It depends on the error.
 */
import type { CallbackName } from '../events.ts';

export function adviceAfter(callback: CallbackName, error: unknown): string {
  try {
    if (!(error instanceof Error)) return ofWork(callback);
    if (/^ +at async Promise\.all \(/m.test(String(error.stack))) return OF_PROMISE_ALL;
    if (error instanceof TypeError && DETACHED.test(error.message)) return OF_DETACHED;
  } catch {
    // Reading a property of the error throws.
  }
  return ofWork(callback);
}

/** `Promise.all` leaves its other promises running. V8's stack trace shows the `Promise.all`. */
const OF_PROMISE_ALL =
  '. The error came through Promise.all. Its other promises may still run, even during the next term: register each by term.run()';

/** The message of the TypeError if a method of a term or an election is called without its object. */
const DETACHED =
  /properties of undefined \((?:reading|setting) '(?:isUsed|remainingMs|isCurrent|quietMs|#\w+)'\)$/;
const OF_DETACHED = '. Was a method called without its object? Write term.put(), not const { put } = term';

/** Work that was not awaited continues after `onLeader` fails. */
const ofWork = (callback: CallbackName): string =>
  callback === 'onLeader'
    ? '. If it has started other work, register that work by term.run(). The next term does not wait for unregistered work'
    : '';
