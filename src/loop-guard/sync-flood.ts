/**
 * Counts calls within one turn of the event loop. A loop that never lets it turn starves every timer, so a delay
 * cannot slow it: only a throw can end it. And where the loop swallows the throw, only sleeping in the call itself
 * keeps it from burning a core.
 */
import { RunawayLoopError } from '../errors.ts';
import { clock, nextTurn } from '../util/clock.ts';

/** No honest program calls one election this often without ever awaiting anything. */
export const CALLS_PER_TURN = 1_000;
/** A batch of fenced writes may begin in one turn; no honest one is larger. */
export const WRITES_PER_TURN = 5_000;
/** Looks at `status` and `health()`, of all elections. They make garbage, and nothing changes within one turn. */
const LOOKS_PER_TURN = 100_000;
/** No honest program makes this many elections without ever awaiting anything, of whatever names. */
export const ELECTIONS_PER_TURN = 12_000;
/** A loop that has swallowed this many throws in one turn will not end by itself. */
export const THROWS_UNTIL_PARKED = 9_000;
/** The longest that one call sleeps, in milliseconds. */
export const LONGEST_PARK_MS = 100;

const calls = new Map<string, number>();
let looks = 0;
let thrown = 0;
let willForget = false;
let turn = 0;

/** Whether the event loop has turned since a call was counted. */
export const turnOfTheLoop = (): number => turn;

function forgetAfterThisTurn(): void {
  if (willForget) return;
  willForget = true;
  nextTurn(() => {
    willForget = false;
    turn++;
    calls.clear();
    looks = 0;
    thrown = 0;
  });
}

/** @throws {RunawayLoopError} beyond so many calls for one key in one turn. */
export function countSyncCall(key: string, election: string, most: number = CALLS_PER_TURN): void {
  forgetAfterThisTurn();
  const count = (calls.get(key) ?? 0) + 1;
  calls.set(key, count);
  if (count > most) runaway(election, count);
}

/** Costs nanoseconds: probes and metrics look often. @throws {RunawayLoopError} beyond {@link LOOKS_PER_TURN}. */
export function countLook(election: string): void {
  forgetAfterThisTurn();
  if (++looks > LOOKS_PER_TURN) runaway(election, looks);
}

/** An `Election` is made. @throws {RunawayLoopError} beyond what one turn may bring, of one name or of all. */
export function countElection(name: string): void {
  countSyncCall('new', name, ELECTIONS_PER_TURN);
  electionFlood.count(clock.now());
}

function runaway(election: string, count: number): never {
  thrown++;
  if (thrown > THROWS_UNTIL_PARKED) blockThread(thrown - THROWS_UNTIL_PARKED);
  throw new RunawayLoopError(election, count);
}

/** How long the thread sleeps in one turn of the event loop, in milliseconds: renewals and answers still get theirs. */
export const PARK_PER_TURN_MS = 100;

let parkedInThisTurn = false;

/**
 * Limits how often something may happen in this process. A delay slows a loop that awaits it. If a loop awaits nothing but
 * lets the event loop turn, the thread sleeps once a turn while the loop continues.
 */
export class Flood {
  readonly #atOnce: number;
  readonly #perSecond: number;
  #left: number;
  #countedAtMs = 0;

  constructor(atOnce: number, perSecond: number) {
    this.#left = this.#atOnce = atOnce;
    this.#perSecond = perSecond;
  }

  count(nowMs: number): void {
    const earned = (Math.max(0, nowMs - this.#countedAtMs) * this.#perSecond) / 1_000;
    this.#countedAtMs = nowMs;
    this.#left = Math.max(0, Math.min(this.#atOnce, this.#left + earned) - 1);
    if (this.#left > 0 || parkedInThisTurn) return;
    parkedInThisTurn = true;
    nextTurn(() => {
      parkedInThisTurn = false;
    });
    sleepInThisThread(PARK_PER_TURN_MS);
    this.#countedAtMs = nowMs + PARK_PER_TURN_MS; // sleep earns nothing: else a loop would sleep every other turn only
  }
}

/** Refusals of `campaign()`, `lead()` and reads: so many at once, then so many a second, before the thread sleeps. */
export const REFUSALS_AT_ONCE = 500;
export const REFUSALS_PER_SECOND = 15;
export const refusals: Flood = new Flood(REFUSALS_AT_ONCE, REFUSALS_PER_SECOND);
/** Refusals of what work does under its term: a busy service may fail so often when a term ends. */
export const termRefusals: Flood = new Flood(2_000, 500);

/** Elections that are made: ten thousand at start, and one for each request of a busy service. */
const electionFlood: Flood = new Flood(20_000, 1_000);

/**
 * Longer and longer: a loop that ends after a few thousand more loses seconds, one that does not end sleeps for
 * nearly all of its time. Nothing is lost: in this turn no timer, no renewal and no answer could run anyway.
 */
function blockThread(calledSince: number): void {
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
