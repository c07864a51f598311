/**
 * Decides when log lines are written, so that a hand-over does not wait for the log.
 *
 * Lines that report no fault wait until the end of the event loop turn, after the calls to etcd. Faults, and the last
 * line of a campaign, are written at once, after all waiting lines. So a process that spins in one turn still logs the
 * reason. And a caller may close its log as soon as `close()` has resolved.
 */
import { nextTurn } from '../util/clock.ts';

const waiting: (() => void)[] = [];
let cancelTurnEnd: (() => void) | undefined;
/** Reports to make when the process exits, one for each running campaign. */
const atExit = new Set<() => void>();

export function writeSoon(write: () => void): void {
  waiting.push(write);
  cancelTurnEnd ??= nextTurn(writeWaiting);
}

export function writeNow(write: () => void): void {
  writeWaiting();
  write();
}

/** @param onExit called when the process exits. @returns a function to call when the campaign is over. */
export function reportAtExit(onExit: () => void): () => void {
  // The listener of the standard output, which writes the last lines, must come after this one.
  if (atExit.size === 0) process.prependListener('exit', exit);
  atExit.add(onExit);
  return () => {
    if (atExit.delete(onExit) && atExit.size === 0) process.off('exit', exit);
  };
}

function exit(): void {
  for (const report of atExit) report();
  writeWaiting();
}

function writeWaiting(): void {
  cancelTurnEnd?.();
  cancelTurnEnd = undefined;
  for (const write of waiting.splice(0)) write();
}
