import { describe, expect, test } from 'vitest';
import type { Evidence } from './lab/evidence.ts';
import { during } from './lab/fault-kind.ts';
import type { Candidate } from './lab/candidate-process.ts';
import { Lab } from './lab/lab.ts';
import { noOwnKeyCheck } from './lab/sabotages.ts';
import { expectKept, forOneTtl, sharedCluster } from './lab/story.ts';

// An operator does this by hand, or a clean-up job by mistake.

const cluster = sharedCluster();

async function keyOfLeaderIsDeleted(lab: Lab): Promise<Candidate> {
  const alice = await lab.leader();
  await during(lab, { kind: 'delete-key', what: 'delete', evicts: alice.name }, () =>
    lab.operator.delete(alice.term!.key),
  );
  await lab.leader({ notOf: [alice] });
  return alice;
}

/** The watch must report it: with a TTL of 10 s no renewal and no probe is fast enough. */
function expectToldInTime(lab: Lab, { acting, faults }: Evidence, victim: Candidate): void {
  const [term] = acting.filter(({ process }) => process === victim.name);
  const unaware = { fromMs: faults[0]!.fromMs, toMs: term!.lastMs };
  expect(term!.lastMs - faults[0]!.toMs).toBeLessThan(lab.noiseIn(unaware));
}

describe('when the key of the leader is deleted', () => {
  test('S4, L3: its term ends with the next watch message, and it campaigns again', async () => {
    await using lab = await Lab.start({ cluster: cluster(), candidates: 2, ttlSeconds: 10 });
    const alice = await keyOfLeaderIsDeleted(lab);
    await lab.until('it knows', () => alice.endings.length > 0);
    expect(alice.endings).toEqual(['evicted']);

    await lab.until('it stands again', () => {
      alice.tell({ do: 'report' });
      return alice.reported?.status === 'waiting';
    });
    const { evidence } = await expectKept(lab);
    expectToldInTime(lab, evidence, alice);
  });

  test('S4: a library that does not look at its own key is caught', async () => {
    await using lab = await Lab.start({
      cluster: cluster(),
      candidates: 2,
      ttlSeconds: 4,
      sabotage: noOwnKeyCheck,
    });
    await keyOfLeaderIsDeleted(lab);
    await forOneTtl(lab);
    await forOneTtl(lab);
    expect((await lab.verdict()).findings).toContainEqual(
      expect.objectContaining({ promise: 'S4', what: expect.stringContaining('two leaders') }),
    );
  });
});

test('S3: a waiting candidate whose key is deleted enters again, and never leads without a key', async () => {
  await using lab = await Lab.start({ cluster: cluster(), candidates: 2, ttlSeconds: 10 }); // a busy machine costs no lease of this length
  const alice = await lab.leader();
  const bob = lab.candidates.find((one) => one !== alice)!;
  const queue = await lab.operator.list(`election/${lab.election}/`);
  const key = queue.find(({ value }) => value === bob.name)!;
  await during(lab, { kind: 'delete-key', what: 'delete', evicts: bob.name }, () =>
    lab.operator.delete(key.key),
  );
  let again = key;
  while (again.createRevision === key.createRevision) {
    again =
      (await lab.operator.list(`election/${lab.election}/`)).find(({ value }) => value === bob.name) ?? key;
  }

  alice.tell({ do: 'resign' });
  expect(await lab.leader({ notOf: [alice] })).toBe(bob);
  expect(bob.term!.token).toBe(again.createRevision.toString());
  await expectKept(lab);
});

test('S4: a leader whose lease is revoked loses its term with the next watch message', async () => {
  await using lab = await Lab.start({ cluster: cluster(), ttlSeconds: 10 });
  const alice = await lab.leader();
  await during(lab, { kind: 'revoke-lease', what: 'revoke', evicts: alice.name }, () =>
    lab.operator.revoke(alice.term!.leaseId),
  );
  await lab.leader({ notOf: [alice] });
  await lab.until('it knows', () => alice.endings.length > 0);
  expect(['evicted', 'lease-lost']).toContain(alice.endings[0]);
  const { evidence } = await expectKept(lab);
  expectToldInTime(lab, evidence, alice);
});

test('S3: a waiting candidate whose lease is revoked enters again under a new lease (etcd #19597)', async () => {
  await using lab = await Lab.start({ cluster: cluster(), candidates: 2, ttlSeconds: 10 }); // a busy machine costs no lease of this length
  const alice = await lab.leader();
  const bob = lab.candidates.find((one) => one !== alice)!;
  const ours = async () =>
    (await lab.operator.list(`election/${lab.election}/`)).find(({ value }) => value === bob.name);
  const before = await ours();
  await during(lab, { kind: 'revoke-lease', what: 'revoke', evicts: bob.name }, () =>
    lab.operator.revoke(before!.lease),
  );
  let after = before;
  while (after === undefined || after.lease === before!.lease) after = await ours();
  alice.tell({ do: 'resign' });
  expect(await lab.leader({ notOf: [alice] })).toBe(bob);
  expect(bob.term!.leaseId).toBe(after.lease);
  await expectKept(lab);
});
