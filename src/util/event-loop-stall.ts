/**
 * Detects that the event loop of this process stood still, a frequent reason for a lost lease. The CPU time that the process
 * used meanwhile shows whether its own code kept the loop busy.
 *
 * A beat is a timer that fires every half second. A late beat shows one long stall. Many shorter stalls lose a lease too,
 * because a renewal takes several turns of the event loop. A short stall can end before the next beat is due, and then delays
 * no beat. So every beat also measures how long the next turn takes.
 */
import { after, clock, nextTurn } from './clock.ts';

export const BEAT_EVERY_MS = 500;

/** A single stall shorter than this, in milliseconds, rarely loses a lease. */
const SHORTEST_STALL_MS = 1_000;

/** Stalls shorter than this, in milliseconds, are not recorded: they are the usual work of a process. */
const SHORTEST_PIECE_MS = 100;

/**
 * `recentStall()` ignores each stall that is shorter than this share of its period, because it hardly delays a renewal. A
 * stall of a second or more always counts.
 */
const LEAST_SHARE = 1 / 20;

/** How many recorded stalls are kept. */
const PIECES = 64;

export interface Stall {
  /** For how long the event loop stood still, in milliseconds. Stalls within the given time are added up. */
  readonly stalledMs: number;
  /** CPU time of this process between the beats before and after the stalls, in milliseconds. */
  readonly cpuMs: number;
}

interface Beat {
  readonly atMs: number;
  readonly cpuMs: number;
  /** How long the turn after the beat took, in milliseconds; undefined until it is over. */
  turnMs: number | undefined;
}

const beatNow = (): Beat => {
  const { user, system } = process.cpuUsage();
  return { atMs: clock.now(), cpuMs: (user + system) / 1000, turnMs: undefined };
};

let holders = 0;
let cancelTimer = (): void => undefined;
let last: Beat;
const pieces: (Stall & { readonly endedAtMs: number })[] = [];

function beat(): void {
  const now = beatNow();
  const passedMs = now.atMs - last.atMs;
  // The stall is the turn after the last beat, plus the delay of this beat. The delay already contains the part of a turn
  // that exceeds the interval.
  const turnMs = Math.min(last.turnMs ?? passedMs, BEAT_EVERY_MS);
  const stalledMs = turnMs + Math.max(0, passedMs - BEAT_EVERY_MS);
  if (stalledMs >= SHORTEST_PIECE_MS)
    pieces.push({ stalledMs, cpuMs: now.cpuMs - last.cpuMs, endedAtMs: now.atMs });
  if (pieces.length > PIECES) pieces.shift();
  last = now;
  // The first callback runs at the end of the present turn. The second one runs after every phase of the loop has come once.
  nextTurn(() => nextTurn(() => (now.turnMs = clock.now() - now.atMs)));
}

function beatAgain(): void {
  cancelTimer = after(
    BEAT_EVERY_MS,
    () => {
      beat();
      beatAgain();
    },
    true,
  );
}

/** Watches the event loop while an election of this process leads. @returns a function that ends the watch. */
export function watchEventLoop(): () => void {
  if (holders++ === 0) {
    last = { ...beatNow(), turnMs: 0 };
    beatAgain();
  }
  return () => {
    if (--holders === 0) cancelTimer();
  };
}

/**
 * Returns for how long the event loop stood still in the last `withinMs` milliseconds. The result is undefined unless one stall
 * lasted a second, or all stalls together lasted half of that time.
 */
export function recentStall(withinMs: number): Stall | undefined {
  if (holders > 0) beat(); // the timer may not have fired yet
  const sinceMs = clock.now() - withinMs;
  const leastMs = Math.min(withinMs * LEAST_SHARE, SHORTEST_STALL_MS);
  let [longestMs, stalledMs, cpuMs] = [0, 0, 0];
  for (const piece of pieces) {
    if (piece.endedAtMs < sinceMs || piece.stalledMs < leastMs) continue;
    longestMs = Math.max(longestMs, piece.stalledMs);
    stalledMs += piece.stalledMs;
    cpuMs += piece.cpuMs;
  }
  return longestMs >= SHORTEST_STALL_MS || stalledMs >= withinMs / 2 ? { stalledMs, cpuMs } : undefined;
}
