/**
 * Detects that the event loop of this process stood still, a frequent reason for a lost lease. Tells whether code of this
 * process kept the loop busy.
 *
 * One long stall loses a lease, and so does a loop that is busy in chunks, because a renewal takes some turns. A chunk
 * can be as long as a beat and delay none, so every beat also measures a turn.
 */
import { after, clock, nextTurn } from './clock.ts';

const BEAT_EVERY_MS = 500;

/** A shorter stall alone rarely loses a lease. */
const SHORTEST_STALL_MS = 1_000;

/** Shorter pieces are the usual work of a process. */
const SHORTEST_PIECE_MS = 100;

/** A shorter stall below this share of the time in question costs a renewal too little. */
const LEAST_SHARE = 1 / 20;

/** How many pieces are kept. */
const PIECES = 64;

export interface Stall {
  /** For how long the event loop stood still, in milliseconds. Stalls within the given time are added up. */
  readonly stalledMs: number;
  /** How much of that time this process spent on the CPU. */
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
  // The turn is counted until the next beat was due, and the delay of that beat from then on.
  const turnMs = Math.min(last.turnMs ?? passedMs, BEAT_EVERY_MS);
  const stalledMs = turnMs + Math.max(0, passedMs - BEAT_EVERY_MS);
  if (stalledMs >= SHORTEST_PIECE_MS)
    pieces.push({ stalledMs, cpuMs: now.cpuMs - last.cpuMs, endedAtMs: now.atMs });
  if (pieces.length > PIECES) pieces.shift();
  last = now;
  // The first callback ends the present turn, so the second one comes after every phase of the loop.
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
 * What the event loop stood still in the last `withinMs` milliseconds; undefined if it had no long stall, and no short
 * ones for half of that time.
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
