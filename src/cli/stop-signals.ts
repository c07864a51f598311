/**
 * Turns the signals that stop a command into an AbortSignal.
 */
import type { Writable } from 'node:stream';

export interface Stop extends Disposable {
  readonly signal: AbortSignal;
}

const STOPS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Aborts on a stop signal, or when the reader of the output has closed it (as `| head` does). */
export function untilStopped(output: Writable): Stop {
  const stop = new AbortController();
  const onStop = (): void => stop.abort();
  for (const name of STOPS) process.on(name, onStop);
  output.on('error', onStop);
  return {
    signal: stop.signal,
    [Symbol.dispose](): void {
      for (const name of STOPS) process.off(name, onStop);
      // The listener on the output stays, because an EPIPE may come late. Without a listener, the EPIPE would end the process.
    },
  };
}
