/**
 * Random numbers from a seed. Each part of the world has its own stream, so that the removal of a fault from a
 * run changes little else.
 */
export type Random = () => number;

/** @param of names the stream. */
export function stream(seed: number, of: string): Random {
  let state = seed >>> 0;
  for (let index = 0; index < of.length; index++)
    state = Math.imul(state ^ of.charCodeAt(index), 0x01000193) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export const between = (random: Random, low: number, high: number): number => low + random() * (high - low);

/** A whole number from low to high, with both ends. */
export const wholeBetween = (random: Random, low: number, high: number): number =>
  low + Math.floor(random() * (high - low + 1));

export const pick = <T>(random: Random, from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
