import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { abortOf } from './eventually.ts';

/** Of the guard's defaults. */
export const BURST = 5;
/** Long enough to tell a loop that is held from one that is not: unheld they make thousands of rounds a second. */
export const WATCH_MS = 1_000;
/** After the burst each round waits at least the base delay of 250 ms, and longer each time. */
export const MOST_ROUNDS = BURST + WATCH_MS / 250 + 1;
/** No loop goes further than this, so that a guard that fails does not hang the tests. */
const NO_FURTHER = 3_000;

export interface Watched {
  readonly rounds: number;
  /** Turns of the event loop's timers meanwhile: a starved loop has none. */
  readonly ticks: number;
  /** CPU time of this process, as a share of one core. */
  readonly cpu: number;
}

/** Runs a hot loop, sees what comes of it, then stops it. */
export async function watch(round: () => Promise<unknown>, forMs = WATCH_MS): Promise<Watched> {
  let rounds = 0;
  let ticks = 0;
  const over = new AbortController();
  const stopped = abortOf(over.signal);
  const ticking = setInterval(() => ticks++, 10);
  const cpuBefore = process.cpuUsage();
  const begunAtMs = performance.now();
  const loop = (async () => {
    while (!over.signal.aborted && rounds < NO_FURTHER && performance.now() - begunAtMs < 2 * forMs) {
      rounds++;
      try {
        await Promise.race([round(), stopped]);
      } catch {
        // As in the incident.
      }
    }
  })();
  await sleep(forMs);
  clearInterval(ticking);
  const { user, system } = process.cpuUsage(cpuBefore);
  over.abort();
  await loop;
  return { rounds, ticks, cpu: (user + system) / 1_000 / forMs };
}

export function expectHeld({ rounds, ticks }: Watched, mostRounds = MOST_ROUNDS): void {
  expect(rounds).toBeLessThanOrEqual(mostRounds);
  expect(ticks).toBeGreaterThan(WATCH_MS / 10 / 4); // a busy machine may take some
}
