/** Shares a sweep between processes: each takes every n-th seed. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { add, NO_RUNS, type Totals } from './totals.ts';

export async function inJobs(
  jobs: number,
  firstSeed: number,
  hours: number,
  flags: readonly string[],
): Promise<Totals> {
  const all = await Promise.all(
    Array.from({ length: jobs }, async (_, index) => {
      const seeds = ['--seed', String(firstSeed + index), '--step', String(jobs)];
      const child = fork(process.argv[1]!, [...seeds, '--hours', String(hours / jobs), ...flags]);
      let totals: Totals | undefined;
      child.on('message', (message) => (totals = message as Totals));
      const [code] = (await once(child, 'close')) as [number | null];
      if (totals === undefined) throw new Error(`job ${index + 1} of ${jobs} ended early, with ${code}`);
      return totals;
    }),
  );
  return all.reduce(add, NO_RUNS);
}
