/**
 * Detects that the event loop of this process stood still, a frequent reason for a lost lease. Tells whether code of this
 * process kept the loop busy.
 */
import { after, clock } from './clock.ts';

const BEAT_EVERY_MS = 500;

/** Shorter stalls rarely lose a lease. */
const SHORTEST_STALL_MS = 1_000;

export interface Stall {
  readonly stalledMs: number;
  /** How much of that time this process spent on the CPU. */
  readonly cpuMs: number;
}

interface Beat {
  readonly atMs: number;
  readonly cpuMs: number;
}

const beatNow = (): Beat => {
  const { user, system } = process.cpuUsage();
  return { atMs: clock.now(), cpuMs: (user + system) / 1000 };
};

let holders = 0;
let cancelTimer = (): void => undefined;
let last: Beat;
let lastStall: (Stall & { readonly endedAtMs: number }) | undefined;

function beat(): void {
  const now = beatNow();
  const stalledMs = now.atMs - last.atMs - BEAT_EVERY_MS;
  if (stalledMs >= SHORTEST_STALL_MS)
    lastStall = { stalledMs, cpuMs: now.cpuMs - last.cpuMs, endedAtMs: now.atMs };
  last = now;
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
    last = beatNow();
    beatAgain();
  }
  return () => {
    if (--holders === 0) cancelTimer();
  };
}

/** The last stall, if it ended at most `withinMs` milliseconds ago; otherwise undefined. */
export function recentStall(withinMs: number): Stall | undefined {
  if (holders > 0) beat(); // the timer may not have fired yet
  return lastStall !== undefined && clock.now() - lastStall.endedAtMs <= withinMs ? lastStall : undefined;
}
