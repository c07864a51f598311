/**
 * The parts of a bench: measured one by one, kept in bench/results/, and put on one page together. So a machine that others
 * use is not taken for ten minutes at once.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { dirname } from 'node:path';

/** `--only a,b`: the parts to measure now, by the beginning of their names; all if it is missing. */
const only = process.argv[2] === '--only' ? process.argv[3]?.split(',') : undefined;

export interface Part<T> {
  readonly figures: T;
  /** Load average of the machine before and after. */
  readonly load: readonly [before: number, after: number];
}

/** @returns what this run measures, or what an earlier one has; undefined if neither has. */
export async function part<T>(
  bench: string,
  name: string,
  measure: () => Promise<T>,
): Promise<Part<T> | undefined> {
  const file = `bench/results/${bench}/${name}.json`;
  if (only !== undefined && !only.some((each) => name.startsWith(each)))
    return await readFile(file, 'utf8').then(
      (text) => JSON.parse(text) as Part<T>,
      () => undefined,
    );
  const before = loadavg()[0]!;
  const figures = await measure();
  const measured: Part<T> = { figures, load: [before, loadavg()[0]!] };
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, `${JSON.stringify(measured, null, 2)}\n`);
  return measured;
}

/** The least and the greatest load during the parts, as text. */
export function loadOf(parts: readonly (Part<unknown> | undefined)[]): string {
  const loads = parts.flatMap((each) => each?.load ?? []);
  return `${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)}`;
}
