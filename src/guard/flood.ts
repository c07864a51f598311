/**
 * Counts calls within one turn of the event loop. A loop that never lets it turn starves every timer, so a delay
 * cannot slow it: only a throw can end it. And where the loop swallows the throw, only sleeping in the call itself
 * keeps it from burning a core.
 */
import { RunawayLoopError } from '../errors.ts';

/** No honest program calls one election this often without ever awaiting anything. */
export const CALLS_PER_TURN = 1_000;
/** No honest program makes this many elections without ever awaiting anything, of whatever names. */
export const ELECTIONS_PER_TURN = 12_000;
/** A loop that has swallowed this many throws in one turn will not end by itself. */
export const THROWS_UNTIL_PARKED = 9_000;
/** The longest that one call sleeps, in milliseconds. */
export const LONGEST_PARK_MS = 100;

const calls = new Map<string, number>();
let elections = 0;
let thrown = 0;
let willForget = false;

function forgetAfterThisTurn(): void {
  if (willForget) return;
  willForget = true;
  setImmediate(() => {
    willForget = false;
    calls.clear();
    elections = 0;
    thrown = 0;
  });
}

/** @throws {RunawayLoopError} beyond {@link CALLS_PER_TURN} calls for one key in one turn. */
export function countCall(key: string, election: string): void {
  forgetAfterThisTurn();
  const count = (calls.get(key) ?? 0) + 1;
  calls.set(key, count);
  if (count > CALLS_PER_TURN) runaway(election, count);
}

/** An `Election` is made. @throws {RunawayLoopError} beyond what one turn may bring, of one name or of all. */
export function countElection(name: string): void {
  forgetAfterThisTurn();
  elections++;
  if (elections > ELECTIONS_PER_TURN) runaway(name, elections);
}

function runaway(election: string, count: number): never {
  thrown++;
  if (thrown > THROWS_UNTIL_PARKED) park(thrown - THROWS_UNTIL_PARKED);
  throw new RunawayLoopError(election, count);
}

/** Refusals that nobody waits for: so many at once, then so many a second, before the thread that asks is slowed. */
export const REFUSALS_AT_ONCE = 500;
export const REFUSALS_PER_SECOND = 15;
/** How long the thread sleeps in one turn of the event loop, in milliseconds: renewals and answers still get theirs. */
export const PARK_PER_TURN_MS = 100;

let refusals = REFUSALS_AT_ONCE;
let refusalsCountedAtMs = 0;
let parkedInThisTurn = false;

/**
 * A call is refused. A refusal comes late, which slows whoever waits for it; a loop that waits for nothing and lets
 * the event loop turn is slowed by sleeping, once a turn, while it goes on.
 */
export function countRefusal(nowMs: number): void {
  const earned = (Math.max(0, nowMs - refusalsCountedAtMs) * REFUSALS_PER_SECOND) / 1_000;
  refusalsCountedAtMs = nowMs;
  refusals = Math.max(0, Math.min(REFUSALS_AT_ONCE, refusals + earned) - 1);
  if (refusals > 0 || parkedInThisTurn) return;
  parkedInThisTurn = true;
  setImmediate(() => {
    parkedInThisTurn = false;
  });
  sleepInThisThread(PARK_PER_TURN_MS);
  refusalsCountedAtMs = nowMs + PARK_PER_TURN_MS; // sleep earns nothing: else a loop would sleep every other turn only
}

/**
 * Longer and longer: a loop that ends after a few thousand more loses seconds, one that does not end sleeps for
 * nearly all of its time. Nothing is lost: in this turn no timer, no renewal and no answer could run anyway.
 */
function park(calledSince: number): void {
  sleepInThisThread(Math.min(LONGEST_PARK_MS, Math.ceil(calledSince / 30)));
}

const nobodyWakes = new Int32Array(new SharedArrayBuffer(4));

function sleepInThisThread(ms: number): void {
  try {
    Atomics.wait(nobodyWakes, 0, 0, ms);
  } catch {
    // A thread that may not sleep (a browser's window, in Electron).
  }
}
