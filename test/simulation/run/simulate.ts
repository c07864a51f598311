/** `npm run simulate`: see simulate.mjs. */
import { createHash } from 'node:crypto';
import { parseArgs } from 'node:util';
import { shrink } from '../check/shrink.ts';
import { mutants } from '../mutants/all.ts';
import { crowdMutants } from '../mutants/crowd.ts';
import { hunt } from '../mutants/hunt.ts';
import { queueMutants } from '../mutants/queue.ts';
import { bundle } from '../process/bundle.ts';
import { report } from './report.ts';
import { crowdedSetupOf, queueSetupOf, run, setupOf, type Outcome } from './run.ts';

const { values: options } = parseArgs({
  options: {
    seed: { type: 'string' },
    hours: { type: 'string' },
    'until-found': { type: 'boolean', default: false },
    mutants: { type: 'boolean', default: false },
    named: { type: 'string', default: '' },
    queue: { type: 'boolean', default: false },
    brief: { type: 'boolean', default: false },
  },
});

const HOUR_MS = 3_600_000;
const A_MINUTE_MS = 60_000;

if (options.mutants) {
  await huntAll();
  process.exit();
}

// One run of a known seed is there to be understood.
const code = await bundle([], { hasStacks: options.seed !== undefined && options.hours === undefined });
const rejections: string[] = [];
process.on('unhandledRejection', (reason) => rejections.push(String(reason)));

const firstSeed = Number(options.seed ?? Math.floor(Math.random() * 1_000_000_000));
const totals = { runs: 0, simulatedMs: 0, faults: 0, terms: 0, cpuMs: 0, broken: 0, hash: '' };
const isOver = limit();
console.log(`seed ${firstSeed}`);
for (let seed = firstSeed; !isOver(); seed++) {
  const outcome = await oneRun(seed);
  progress();
  if (outcome.violations.length === 0) continue;
  totals.broken++;
  process.stderr.write('\n');
  console.log(
    options.brief
      ? `seed ${seed}: ${outcome.violations.map(({ promise, what }) => `${promise} ${what}`).join('; ')}`
      : report(shrink(outcome, code)),
  );
  if (options['until-found']) break;
}
process.stderr.write('\n');
console.log(summary());
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

function limit(): () => boolean {
  const hours = options.hours === undefined ? undefined : Number(options.hours);
  const endMs = performance.now() + A_MINUTE_MS;
  if (hours !== undefined) return () => totals.simulatedMs >= hours * HOUR_MS;
  if (options['until-found']) return () => false;
  if (options.seed !== undefined) return () => totals.runs > 0;
  return () => performance.now() >= endMs;
}

async function oneRun(seed: number): Promise<Outcome> {
  const before = process.cpuUsage();
  const outcome = run(options.queue ? queueSetupOf(seed) : setupOf(seed), code);
  const { user, system } = process.cpuUsage(before);
  await new Promise((resolve) => setImmediate(resolve)); // Node reports unhandled rejections now
  totals.cpuMs += (user + system) / 1000;
  totals.runs++;
  totals.simulatedMs += outcome.simulatedMs;
  totals.faults += outcome.world.faults.length;
  totals.terms += outcome.world.record.terms;
  totals.hash = createHash('sha256')
    .update(totals.hash + outcome.hash)
    .digest('hex')
    .slice(0, 8);
  const unheard = rejections.splice(0).map((what) => ({ promise: 'crash', what: `nobody heard: ${what}` }));
  return { ...outcome, violations: [...outcome.violations, ...unheard] };
}

function summary(): string {
  const { runs, simulatedMs, faults, terms, cpuMs, broken, hash } = totals;
  const speed = (simulatedMs / Math.max(1, cpuMs)).toFixed(0);
  return `${runs} runs, ${(simulatedMs / HOUR_MS).toFixed(2)} simulated hours, ${faults} faults, ${terms} terms, ${speed} simulated seconds a second of CPU, ${broken} broken, messages ${hash}`;
}

function progress(): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${summary()} `);
}
