import { setTimeout as sleep } from 'node:timers/promises';
import { expect, vi } from 'vitest';
import { clock } from '../../src/util/clock.ts';
import { abortOf } from './eventually.ts';

/** The guard's default. */
export const BURST = 5;
/** Long enough to distinguish a held loop from one that is not held: that one makes thousands of rounds a second. */
export const WATCH_MS = 1_000;
/** No loop makes more rounds, so that a broken guard does not hang the tests. */
const NO_FURTHER = 3_000;
const TICK_MS = 10;
/** A loop that leaves the event loop a quarter of its time reaches this number within {@link WATCH_MS}. */
const ENOUGH_TICKS = WATCH_MS / TICK_MS / 4;
/** On a stalled machine a loop is watched for longer, at most this many times. */
const MOST_EXTENSIONS = 4;

export interface Watched {
  readonly rounds: number;
  /** Turns of the event loop's timers meanwhile: none if the loop starves them. */
  readonly ticks: number;
  /** CPU time of this process, as a share of one core. */
  readonly cpu: number;
  /** How long the loop ran, in milliseconds: longer than asked for if the machine was stalled. */
  readonly tookMs: number;
}

/** After the burst each round waits at least the base delay of 250 ms, and longer each time. */
export const mostRounds = ({ tookMs }: Pick<Watched, 'tookMs'>): number => BURST + tookMs / 250 + 1;
/** An iteration over the leaders has 20 at once. */
export const mostIterations = ({ tookMs }: Pick<Watched, 'tookMs'>): number => 20 + tookMs / 250 + 1;
/** Reads and similar calls have 20 at once and 20 a second. */
export const mostReads = ({ tookMs }: Pick<Watched, 'tookMs'>): number => 20 + 20 * (tookMs / 1_000) + 2;

/**
 * Runs a hot loop for a while, measures it, then stops it.
 *
 * @param forMs at least this long. If the machine gave this process no time for its timers, the watch goes on.
 * @param atLeast as many rounds are needed for the test to mean anything.
 */
export async function watch(round: () => Promise<unknown>, forMs = WATCH_MS, atLeast = 0): Promise<Watched> {
  let rounds = 0;
  let ticks = 0;
  const over = new AbortController();
  const stopped = abortOf(over.signal);
  const ticking = setInterval(() => ticks++, TICK_MS);
  const cpuBefore = process.cpuUsage();
  const begunAtMs = performance.now();
  const tookMs = (): number => performance.now() - begunAtMs;
  const loop = (async () => {
    while (!over.signal.aborted && rounds < NO_FURTHER && tookMs() < (MOST_EXTENSIONS + 1) * forMs) {
      rounds++;
      try {
        await Promise.race([round(), stopped]);
      } catch {
        // The result is ignored, as in the incident.
      }
    }
  })();
  await sleep(forMs);
  const isEnough = (): boolean => ticks > ENOUGH_TICKS && rounds >= atLeast;
  while (!isEnough() && rounds < NO_FURTHER && tookMs() < MOST_EXTENSIONS * forMs) await sleep(TICK_MS);
  clearInterval(ticking);
  const { user, system } = process.cpuUsage(cpuBefore);
  over.abort();
  const watched = { rounds, ticks, cpu: (user + system) / 1_000 / tookMs(), tookMs: tookMs() };
  await loop;
  return watched;
}

/**
 * The delays of the library that ran to their end meanwhile, in milliseconds. How long an act takes is up to the machine;
 * whether the guard held it is not. The one millisecond that lets the event loop turn is no hold.
 */
export async function holdsDuring(act: () => Promise<unknown>): Promise<number[]> {
  const held: number[] = [];
  const sleep = clock.sleep.bind(clock);
  const spy = vi.spyOn(clock, 'sleep').mockImplementation(async (ms, signal) => {
    await sleep(ms, signal);
    if (ms > 1 && signal?.aborted !== true) held.push(ms);
  });
  try {
    await act();
  } finally {
    spy.mockRestore();
  }
  return held;
}

export function expectHeld(watched: Watched, most = mostRounds(watched)): void {
  expect(watched.rounds).toBeLessThanOrEqual(most);
  expect(watched.ticks).toBeGreaterThan(ENOUGH_TICKS);
}
