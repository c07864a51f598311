/**
 * When lines are written: a hand-over does not wait for the log.
 *
 * Lines that report no fault are written at the end of the event loop's turn, when what they tell of has been sent. Faults, and
 * the last line of a campaign, are written at once, after all lines that wait: the order stays, a process that spins in
 * one turn still logs why, and a caller may end its log when `close()` has resolved.
 */
import { nextTurn } from '../util/clock.ts';

const waiting: (() => void)[] = [];
/** Undefined while no line waits. */
let cancelTurnEnd: (() => void) | undefined;
/** What each campaign under way reports when the process exits: `process.exit()` leaves out no line of theirs. */
const atExit = new Set<() => void>();

export function writeSoon(write: () => void): void {
  waiting.push(write);
  cancelTurnEnd ??= nextTurn(writeWaiting);
}

export function writeNow(write: () => void): void {
  writeWaiting();
  write();
}

/** @param onExit is called when the process exits. @returns what to call when the campaign is over. */
export function writeAtExit(onExit: () => void): () => void {
  if (atExit.size === 0) process.on('exit', exit);
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
