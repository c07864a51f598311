/** `npm run simulate`: see simulate.mjs. */
import { parseArgs } from 'node:util';
import { shrink } from '../check/shrink.ts';
import { mutants } from '../mutants/all.ts';
import { crowdMutants } from '../mutants/crowd.ts';
import { hunt } from '../mutants/hunt.ts';
import { queueMutants } from '../mutants/queue.ts';
import { bundle } from '../process/bundle.ts';
import type { Code } from '../process/code.ts';
import { inJobs } from './jobs.ts';
import { report } from './report.ts';
import { crowdedSetupOf, queueSetupOf, run, setupOf, type Outcome } from './run.ts';
import { add, NO_RUNS, summary, totalsOf, type Totals } from './totals.ts';

const { values: options } = parseArgs({
  options: {
    seed: { type: 'string' },
    step: { type: 'string', default: '1' },
    hours: { type: 'string' },
    jobs: { type: 'string', default: '1' },
    'until-found': { type: 'boolean', default: false },
    brief: { type: 'boolean', default: false },
    mutants: { type: 'boolean', default: false },
    named: { type: 'string', default: '' },
    queue: { type: 'boolean', default: false },
  },
});

const HOUR_MS = 3_600_000;
const A_MINUTE_MS = 60_000;

if (options.mutants) {
  await huntAll();
  process.exit();
}

const firstSeed = Number(options.seed ?? Math.floor(Math.random() * 1_000_000_000));
const jobs = Number(options.jobs);
if (jobs > 1 && options.hours === undefined) throw new Error('--jobs needs --hours');
if (process.send === undefined) console.log(`seed ${firstSeed}`);
const totals = await (jobs > 1
  ? inJobs(jobs, firstSeed, Number(options.hours), [
      ...(options.brief ? ['--brief'] : []),
      ...(options.queue ? ['--queue'] : []),
    ])
  : sweep());
if (process.send === undefined) {
  process.stderr.write('\n');
  console.log(summary(totals));
} else {
  process.send(totals);
  process.disconnect();
}
process.exitCode = totals.broken > 0 ? 1 : 0;

/** Each mutant for at most ten simulated hours, or `--hours`, from the first seed or `--seed` on. */
async function huntAll(): Promise<void> {
  const all = [
    ...mutants.map((mutant) => ({ mutant, setup: setupOf })),
    ...crowdMutants.map((mutant) => ({ mutant, setup: crowdedSetupOf })),
    ...queueMutants.map((mutant) => ({ mutant, setup: queueSetupOf })),
  ];
  const named = new RegExp(options.named);
  const chosen = all.filter(
    ({ mutant, setup }) => named.test(mutant.name) && (!options.queue || setup === queueSetupOf),
  );
  for (const { mutant, setup } of chosen) {
    const { outcome, afterMs } = await hunt(
      mutant,
      Number(options.hours ?? 10) * HOUR_MS,
      setup,
      Number(options.seed ?? 1),
    );
    const [violation] = outcome?.violations ?? [];
    const said =
      violation === undefined
        ? 'SURVIVED'
        : `found by seed ${outcome!.setup.seed}: ${violation.promise} ${violation.what}`;
    console.log(`${(afterMs / A_MINUTE_MS).toFixed(0).padStart(4)} min  ${mutant.name}: ${said}`);
    if (violation === undefined) process.exitCode = 1;
  }
}

async function sweep(): Promise<Totals> {
  // One run of a known seed is there to be understood.
  const code = await bundle([], { hasStacks: options.seed !== undefined && options.hours === undefined });
  const rejections: string[] = [];
  process.on('unhandledRejection', (reason) => rejections.push(String(reason)));
  let all = NO_RUNS;
  const isOver = limit();
  for (let seed = firstSeed; !isOver(all); seed += Number(options.step)) {
    const before = process.cpuUsage();
    const judged = run(options.queue ? queueSetupOf(seed) : setupOf(seed), code);
    const { user, system } = process.cpuUsage(before);
    await new Promise((resolve) => setImmediate(resolve)); // Node reports unhandled rejections now
    const unheard = rejections.splice(0).map((what) => ({ promise: 'crash', what: `nobody heard: ${what}` }));
    const outcome = { ...judged, violations: [...judged.violations, ...unheard] };
    all = add(all, totalsOf(outcome, (user + system) / 1000));
    if (process.stderr.isTTY) process.stderr.write(`\r${summary(all)} `);
    if (outcome.violations.length === 0) continue;
    tell(outcome, code);
    if (options['until-found']) break;
  }
  return all;
}

function limit(): (all: Totals) => boolean {
  const hours = options.hours === undefined ? undefined : Number(options.hours);
  const endMs = performance.now() + A_MINUTE_MS;
  if (hours !== undefined) return ({ simulatedMs }) => simulatedMs >= hours * HOUR_MS;
  if (options['until-found']) return () => false;
  if (options.seed !== undefined) return ({ runs }) => runs > 0;
  return () => performance.now() >= endMs;
}

function tell(outcome: Outcome, code: Code): void {
  const { setup, violations } = outcome;
  if (process.stderr.isTTY) process.stderr.write('\n');
  const inBrief = `seed ${setup.seed}: ${violations.map(({ promise, what }) => `${promise} ${what}`).join('; ')}`;
  console.log(options.brief ? inBrief : report(shrink(outcome, code)));
}
