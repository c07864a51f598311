import { describe, expect, test } from 'vitest';
import { Lab, type Candidate } from './lab/lab.ts';
import { releaseBeforeDrain } from './lab/sabotages.ts';
import { expectKept, forOneTtl, sharedCluster } from './lab/story.ts';

const cluster = sharedCluster();

/** One commit and one watch message, on a machine that does other things too. */
const HANDOVER_MS = 250;

test('L1: after a resignation the next leads within one commit and one watch message', async () => {
  await using lab = await Lab.start({ cluster: cluster(), candidates: 6 });
  const gone: Candidate[] = [];
  while (gone.length < 5) {
    const leader = await lab.leader({ notOf: gone });
    leader.tell({ do: 'resign' });
    gone.push(leader);
  }
  await lab.leader({ notOf: gone });

  const { gaps, evidence } = await expectKept(lab);
  expect(evidence.acting).toHaveLength(6);
  // With no fault at hand, the checker holds each to the noise of the machine.
  const median = gaps.map(({ ms }) => ms).sort((a, b) => a - b)[2]!;
  expect(median).toBeLessThan(HANDOVER_MS);
});

describe('when the work takes its time to stop', () => {
  const STOPPING_MS = 600;

  test('S5: the seat is given up only after it has stopped', async () => {
    await using lab = await Lab.start({ cluster: cluster(), stopsAfterMs: STOPPING_MS });
    const alice = await lab.leader();
    alice.tell({ do: 'step-down' });
    await lab.leader({ notOf: [alice] });
    await forOneTtl(lab);
    const { gaps } = await expectKept(lab);
    expect(gaps[0]!.ms).toBeGreaterThanOrEqual(STOPPING_MS - 10);
  });

  test('S5: a library that gives up the seat first is caught', async () => {
    await using lab = await Lab.start({
      cluster: cluster(),
      stopsAfterMs: STOPPING_MS,
      sabotage: releaseBeforeDrain,
    });
    const alice = await lab.leader();
    alice.tell({ do: 'step-down' });
    await lab.leader({ notOf: [alice] });
    await forOneTtl(lab);
    expect((await lab.verdict()).findings).toContainEqual(expect.objectContaining({ promise: 'S5' }));
  });
});
