/** Runs a mutant with seed after seed until it breaks a promise that the correct library keeps with the same seed. */
import { bundle } from '../process/bundle.ts';
import { run, setupOf, type Outcome, type Setup } from '../run/run.ts';
import type { Mutant } from '../../support/mutant.ts';

export interface Found {
  readonly outcome: Outcome | undefined;
  /** Simulated time until then, in milliseconds. */
  readonly afterMs: number;
}

/** @param setup the setup of a seed. */
export async function hunt(
  mutant: Mutant,
  mostMs: number,
  setup: (seed: number) => Setup = setupOf,
  firstSeed = 1,
): Promise<Found> {
  const code = await bundle(mutant.edits);
  const sound = await bundle();
  let afterMs = 0;
  for (let seed = firstSeed; afterMs < mostMs; seed++) {
    const outcome = run(setup(seed), code);
    afterMs += outcome.simulatedMs;
    const isBroken = outcome.violations.length > 0;
    if (isBroken && run(setup(seed), sound).violations.length === 0) return { outcome, afterMs };
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { outcome: undefined, afterMs };
}
