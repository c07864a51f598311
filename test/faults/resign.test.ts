import type { Election } from 'etcd-election';
import { describe, expect, test } from 'vitest';
import { SILENT_AFTER_MS } from '../../src/etcd/host-selector.ts';
import type { Candidate } from './lab/candidate-process.ts';
import { poll } from '../support/poll.ts';
import { Lab, NOISE_MS } from './lab/lab.ts';
import { freshName, Replica } from './lab/replica.ts';
import { releaseBeforeDrain } from './lab/sabotages.ts';
import { expectKept, forOneTtl, handOver, sharedCluster } from './lab/story.ts';

const cluster = sharedCluster();

/** One commit and one watch message, on a machine that also does other work. */
const HANDOVER_MS = 250;
/** A busy machine delays each: the old leader, the networks, etcd's leader, a follower of it, and the next leader. */
const PROCESSES_IN_TURN = 5;

test('L1: after a resignation the next candidate leads within one commit and one watch message', async () => {
  // Only a watch tells it in time: every other source takes a third of the TTL. A busy machine costs no lease of this length.
  await using lab = await Lab.start({ cluster: cluster(), candidates: 6, ttlSeconds: 10 });
  const gone: Candidate[] = [];
  while (gone.length < 5) {
    const leader = await lab.leader({ notOf: gone });
    leader.tell({ do: 'resign' });
    gone.push(leader);
  }
  await lab.leader({ notOf: gone });

  const { gaps, evidence } = await expectKept(lab);
  expect(evidence.acting).toHaveLength(6);
  // Without a fault, the checker limits each hand-over by the noise of the machine. The median is what is left without it.
  const left = gaps.map(({ ms, noiseMs }) => ms - PROCESSES_IN_TURN * (noiseMs - NOISE_MS));
  const median = left.sort((a, b) => a - b)[2]!;
  expect(median).toBeLessThan(HANDOVER_MS);
});

test('L1: a dozen resignations while one member is silent: its clients ask another member', async () => {
  const plan = { endpoints: cluster().endpoints, election: freshName() };
  const options = { ttlSeconds: 10 }; // calls notice the silence long before the streams do
  await using alice = await Replica.start({ ...plan, value: 'alice' });
  await using bob = await Replica.start({ ...plan, value: 'bob' });
  const names = Array.from({ length: 12 }, freshName); // each one selects a member at random
  const hers = names.map((name) => alice.another(name, options));
  const his = names.map((name) => bob.another(name, options));
  const states = (elections: Election[]) => new Set(elections.map(({ status }) => status.state));
  for (const election of hers) election.campaign('alice').catch(() => undefined);
  await poll(() => states(hers), 10_000).toEqual(new Set(['leading']));
  for (const election of his) election.campaign('bob').catch(() => undefined);
  await poll(() => states(his), 10_000).toEqual(new Set(['waiting']));

  alice.links[0]!.stall();
  const resigning = Promise.all(hers.map((election) => election.resign()));
  await poll(() => states(his), SILENT_AFTER_MS + NOISE_MS).toEqual(new Set(['leading']));
  await resigning;
  await Promise.all([...hers, ...his].map((election) => election.close()));
});

describe('when the work stops slowly', () => {
  const STOPPING_MS = 1_000; // the next leader of a busy machine begins within it

  test('S5: the key is deleted only after the work has stopped', async () => {
    await using lab = await Lab.start({ cluster: cluster(), stopsAfterMs: STOPPING_MS, ttlSeconds: 4 });
    const alice = await lab.leader();
    await handOver(lab, alice);
    await forOneTtl(lab);
    const { gaps } = await expectKept(lab);
    expect(gaps[0]!.ms).toBeGreaterThanOrEqual(STOPPING_MS - 10);
  });

  test('S5: a library that deletes the key first is caught', async () => {
    await using lab = await Lab.start({
      cluster: cluster(),
      stopsAfterMs: STOPPING_MS,
      sabotage: releaseBeforeDrain,
    });
    const alice = await lab.leader();
    await handOver(lab, alice);
    await forOneTtl(lab);
    expect((await lab.verdict()).findings).toContainEqual(expect.objectContaining({ promise: 'S5' }));
  });
});
