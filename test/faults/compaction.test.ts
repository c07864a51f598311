import { expect, test } from 'vitest';
import { during } from './lab/fault-kind.ts';
import { faultKinds } from './lab/faults.ts';
import { Lab, NOISE_MS } from './lab/lab.ts';
import { seeded } from './lab/seeded.ts';
import { expectKept, forOneTtl, sharedCluster } from './lab/story.ts';

const cluster = sharedCluster();

/** etcd compacts its history while a candidate is disconnected, so that the candidate's next revision is gone. */
const compaction = faultKinds.find(({ kind }) => kind === 'compaction')!;

test('L4: etcd compacts while a waiting candidate is away: the candidate still gets its turn (etcd #21128)', async () => {
  await using lab = await Lab.start({ cluster: cluster(), candidates: 2, ttlSeconds: 4 });
  const alice = await lab.leader();
  const bob = lab.candidates.find((one) => one !== alice)!;
  const scene = { lab, random: seeded(7), victim: bob, clockFile: undefined };
  for (let times = 0; times < 3; times++) await compaction.run(scene);

  alice.tell({ do: 'resign' });
  expect(await lab.leader({ notOf: [alice], withinMs: lab.ttlMs + NOISE_MS })).toBe(bob);

  const keys = await lab.operator.list(`election/${lab.election}/`);
  expect(
    keys.map(({ value }) => value),
    'no key is left behind',
  ).toEqual([bob.name]);
  await expectKept(lab);
});

test('S2, L4: etcd compacts while the leader is away', async () => {
  await using lab = await Lab.start({ cluster: cluster() });
  const victim = await lab.leader();
  await compaction.run({ lab, random: seeded(8), victim, clockFile: undefined });
  await lab.leader({ withinMs: lab.ttlMs + NOISE_MS });
  await expectKept(lab);
});

test('S2: compactions while all replicas are connected have no effect', async () => {
  await using lab = await Lab.start({ cluster: cluster(), ttlSeconds: 6 }); // a busy machine costs no lease of this length
  const alice = await lab.leader();
  for (let times = 0; times < 3; times++)
    await during(lab, { kind: 'compaction', what: 'compact' }, () => lab.operator.compact());
  await forOneTtl(lab);
  expect(alice.endings).toEqual([]);
  expect((await expectKept(lab)).terms).toBe(1);
});
