/** Random faults from fixed seeds: every promise holds. For longer runs: `npm run simulate`. */
import { beforeAll, expect, it } from 'vitest';
import { bundle } from './process/bundle.ts';
import type { Code } from './process/code.ts';
import { regressions } from './run/regressions.ts';
import { report } from './run/report.ts';
import { crowdedSetupOf, queueSetupOf, run, setupOf } from './run/run.ts';

let code: Code;
beforeAll(async () => {
  code = await bundle();
});

// CI also runs 50 simulated hours, by `npm run simulate`.
it.each([1, 2, 3, 4])('S1 to S5, L1, L2, L5 and G5 hold under the faults of seed %i', (seed) => {
  const outcome = run(setupOf(seed), code);
  expect(outcome.violations, outcome.violations.length > 0 ? report(outcome) : '').toEqual([]);
  expect(outcome.world.faults.length).toBeGreaterThan(0);
});

it.each([1, 2, 3])(
  'S1, S2, L3: processes with many elections keep them under the faults of seed %i',
  (seed) => {
    const outcome = run(crowdedSetupOf(seed), code);
    expect(outcome.violations, outcome.violations.length > 0 ? report(outcome) : '').toEqual([]);
    expect(outcome.world.record.seats.length).toBeGreaterThan(100);
  },
);

it.each([1])('S1 to S5, L1 to L5 and G5 hold in a long queue under the faults of seed %i', (seed) => {
  const outcome = run(queueSetupOf(seed), code);
  expect(outcome.violations, outcome.violations.length > 0 ? report(outcome) : '').toEqual([]);
  expect(outcome.world.record.terms).toBeGreaterThan(14);
});

it.each(regressions)('once broken: $story', ({ setup }) => {
  const outcome = run(setup, code);
  expect(outcome.violations, outcome.violations.length > 0 ? report(outcome) : '').toEqual([]);
});
