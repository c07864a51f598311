/**
 * Signals that ask a command to end, as an AbortSignal.
 */
import type { Writable } from 'node:stream';

export interface Stop extends Disposable {
  readonly signal: AbortSignal;
}

const STOPS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Aborts on a signal to stop, or when the reader of our output has gone (as `| head` does in the end). */
export function untilStopped(output: Writable): Stop {
  const stop = new AbortController();
  const onStop = (): void => stop.abort();
  for (const name of STOPS) process.on(name, onStop);
  output.on('error', onStop);
  return {
    signal: stop.signal,
    [Symbol.dispose](): void {
      for (const name of STOPS) process.off(name, onStop);
      // The listener on the output stays: an EPIPE may come late, and nothing else handles it.
    },
  };
}
