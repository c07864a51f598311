/**
 * Signals that ask a command to end, as an AbortSignal.
 */
import type { Writable } from 'node:stream';

export interface Stop extends Disposable {
  readonly signal: AbortSignal;
}

const STOPS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Aborts when somebody asks us to stop, or when nobody reads what we print (as `| head` does in the end). */
export function untilStopped(output: Writable): Stop {
  const stop = new AbortController();
  const onStop = (): void => stop.abort();
  for (const name of STOPS) process.on(name, onStop);
  output.on('error', onStop);
  return {
    signal: stop.signal,
    [Symbol.dispose](): void {
      for (const name of STOPS) process.off(name, onStop);
      // The listener on the output stays: an EPIPE may come late, and nobody else expects it.
    },
  };
}
