/**
 * The parts of a bench: each is measured alone, stored in bench/results/, and shown on one page. So a shared
 * machine is not occupied for ten minutes at a time.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { dirname } from 'node:path';

/** `--only a,b`: the parts to measure now, by the beginning of their names. Default: all. */
const only = process.argv[2] === '--only' ? process.argv[3]?.split(',') : undefined;

export interface Part<T> {
  readonly figures: T;
  /** Load average of the machine before and after. */
  readonly load: readonly [before: number, after: number];
}

/** @returns the result of this run or of an earlier one; undefined without either. */
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

/** The lowest and the highest load during the parts, as text. */
export function loadOf(parts: readonly (Part<unknown> | undefined)[]): string {
  const loads = parts.flatMap((each) => each?.load ?? []);
  return `${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)}`;
}
