/**
 * Counts calls within one event loop turn. If a loop never ends its turn, no timer fires, and only a throw can end the
 * loop. If the loop swallows every throw, its calls put the thread to sleep. So the loop does not take a whole core.
 */
import { RunawayLoopError } from '../errors.ts';
import { clock, nextTurn } from '../util/clock.ts';
import { sleepInThisThread } from '../util/thread-sleep.ts';

/** The most calls of one election and kind in one turn. An ordinary program makes fewer before it awaits something. */
export const CALLS_PER_TURN = 1_000;
/**
 * The most fenced writes, registrations or built transactions of one election in one turn. A program may begin a whole
 * batch in one turn.
 */
export const WRITES_PER_TURN = 5_000;
/**
 * The most answers from memory, of all elections together. `status` and `health()` count. Without a current term,
 * `isCurrent()`, `currentTerm` and `remainingMs()` count too. The answers rarely change within a turn, so only a loop asks this often.
 */
const LOOKS_PER_TURN = 100_000;
/** The most new elections of any name in one turn. An ordinary program creates fewer before it awaits something. */
export const ELECTIONS_PER_TURN = 12_000;
/** After this many throws in one turn the thread sleeps, because the loop swallows them. */
export const THROWS_UNTIL_SLEEP = 9_000;
/** The longest sleep of one call, in milliseconds. */
export const LONGEST_SLEEP_MS = 100;

const calls = new Map<string, number>();
let looks = 0;
let thrown = 0;
let willForget = false;
let turn = 0;

/** Counts the turns of the event loop in which calls came. If it differs from an earlier value, the event loop has turned. */
export const eventLoopTurn = (): number => turn;

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

/** Counts a call under a key. @throws {RunawayLoopError} if one turn makes more than `most` calls under this key. */
export function countSyncCall(key: string, election: string, most: number = CALLS_PER_TURN): void {
  forgetAfterThisTurn();
  const count = (calls.get(key) ?? 0) + 1;
  calls.set(key, count);
  if (count > most) runaway(election, count);
}

/** Counts an answer from memory. Costs nanoseconds. @throws {RunawayLoopError} beyond {@link LOOKS_PER_TURN}. */
export function countLook(election: string): void {
  forgetAfterThisTurn();
  if (++looks > LOOKS_PER_TURN) runaway(election, looks);
}

/** Counts a new `Election`. @throws {RunawayLoopError} if one turn creates too many. */
export function countElection(name: string): void {
  countSyncCall('new', name, ELECTIONS_PER_TURN);
  electionFlood.count(clock.now());
}

function runaway(election: string, count: number): never {
  thrown++;
  if (thrown > THROWS_UNTIL_SLEEP) blockThread(thrown - THROWS_UNTIL_SLEEP);
  throw new RunawayLoopError(election, count);
}

/** The sleep in one turn because of a {@link Flood}, in milliseconds. Such a short sleep leaves time for renewals. */
export const SLEEP_PER_TURN_MS = 100;

let sleptInThisTurn = false;

/**
 * Limits how often something may happen in this process. If a loop lets the event loop turn but awaits no call, no
 * delay can slow it. So the thread sleeps once in every turn until the loop slows down.
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
    if (this.#left > 0 || sleptInThisTurn) return;
    sleptInThisTurn = true;
    nextTurn(() => {
      sleptInThisTurn = false;
    });
    sleepInThisThread(SLEEP_PER_TURN_MS);
    // Time asleep earns no calls, or a loop would sleep only every other turn.
    this.#countedAtMs = nowMs + SLEEP_PER_TURN_MS;
  }
}

/** If this many calls of `campaign()`, `lead()` and the reading methods are refused in one burst, the thread sleeps. */
export const REFUSALS_AT_ONCE = 500;
/**
 * After {@link REFUSALS_AT_ONCE} refused calls, the thread sleeps if more than this many are refused in a second. On a server
 * that shuts down, one call may be refused for every request.
 */
export const REFUSALS_PER_SECOND = 100;
export const refusals: Flood = new Flood(REFUSALS_AT_ONCE, REFUSALS_PER_SECOND);
/** Refusals of calls of a term. In a busy service, this many calls may fail when a term ends. */
export const termRefusals: Flood = new Flood(2_000, 500);

/** New elections. A program may create ten thousand at its start, and a busy service one for every request. */
const electionFlood: Flood = new Flood(20_000, 1_000);

/**
 * Sleeps in the call, longer with each throw. A loop that ends soon loses only seconds. An endless loop sleeps nearly
 * all the time. The sleep delays nothing else, because in this turn no timer, renewal or answer could run anyway.
 */
function blockThread(throwsSince: number): void {
  sleepInThisThread(Math.min(LONGEST_SLEEP_MS, Math.ceil(throwsSince / 30)));
}
