import type { Election } from 'etcd-election';
import { describe, expect, test } from 'vitest';
import { SILENT_AFTER_MS } from '../../src/etcd/host-selector.ts';
import { Lab, NOISE_MS, type Candidate } from './lab/lab.ts';
import { freshName, Replica } from './lab/replica.ts';
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

test('L1: a dozen resignations while a member keeps silent: whoever asked that one asks another', async () => {
  const plan = { endpoints: cluster().endpoints, election: freshName() };
  const options = { ttlSeconds: 10 }; // what keeps silent is noticed by the calls, long before the streams notice it
  await using alice = await Replica.start({ ...plan, value: 'alice' });
  await using bob = await Replica.start({ ...plan, value: 'bob' });
  const names = Array.from({ length: 12 }, freshName); // each asks a member by chance
  const hers = names.map((name) => alice.another(name, options));
  const his = names.map((name) => bob.another(name, options));
  const states = (elections: Election[]) => new Set(elections.map(({ status }) => status.state));
  for (const election of hers) election.campaign('alice').catch(() => undefined);
  await expect.poll(() => states(hers), { timeout: 10_000 }).toEqual(new Set(['leading']));
  for (const election of his) election.campaign('bob').catch(() => undefined);
  await expect.poll(() => states(his), { timeout: 10_000 }).toEqual(new Set(['waiting']));

  alice.links[0]!.stall();
  const resigning = Promise.all(hers.map((election) => election.resign()));
  await expect
    .poll(() => states(his), { timeout: SILENT_AFTER_MS + NOISE_MS, interval: 10 })
    .toEqual(new Set(['leading']));
  await resigning;
  await Promise.all([...hers, ...his].map((election) => election.close()));
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
