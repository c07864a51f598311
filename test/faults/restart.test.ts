import { expect, test } from 'vitest';
import { during } from './lab/fault-kind.ts';
import { etcdAnswers } from './lab/etcd-answers.ts';
import { Lab } from './lab/lab.ts';
import { backInTime, expectKept, forOneTtl, sharedCluster } from './lab/story.ts';

const cluster = sharedCluster();

test('S2: etcd moves its own leadership: no term ends', async () => {
  await using lab = await Lab.start({ cluster: cluster(), ttlSeconds: 6 }); // a busy machine costs no lease of this length
  const alice = await lab.leader();

  for (let times = 0; times < 3; times++) {
    await during(lab, { kind: 'move-etcd-leader', what: 'move', touchesEtcd: true }, async () => {
      while (!(await lab.operator.moveLeader())); // etcd may just elect a leader by itself
    });
    await etcdAnswers(lab);
  }
  await forOneTtl(lab);

  expect(alice.endings).toEqual([]);
  await expectKept(lab);
});

test("S2, L2: etcd's leader is killed: our leader keeps its term, or the next one starts in time", async () => {
  await using lab = await Lab.start({ cluster: cluster() });
  await lab.leader();

  const member = await lab.operator.etcdLeader();
  await during(
    lab,
    { kind: 'kill-etcd-leader', what: `kill ${member?.name}`, touchesEtcd: true },
    async () => {
      await member!.kill();
      await etcdAnswers(lab);
      await lab.leader();
      await member!.start();
    },
  );
  await forOneTtl(lab);

  await expectKept(lab);
});

test('S2: a rolling restart of etcd, as in an upgrade', async () => {
  await using lab = await Lab.start({ cluster: cluster() });
  await lab.leader();

  const marks = { kind: 'rolling-restart', what: 'rolling restart', touchesEtcd: true, isOutage: true };
  await during(lab, marks, async () => {
    for (const member of lab.cluster.members) {
      await member.restart();
      await etcdAnswers(lab);
    }
  });
  await lab.leader();

  await expectKept(lab);
});

test('S2: all of etcd restarts before the lease expires: the term continues', async () => {
  await using lab = await Lab.start({ cluster: cluster(), ttlSeconds: 15 }); // a busy machine starts three members slowly
  const alice = await lab.leader();

  const marks = { kind: 'restart-all', what: 'restart etcd', touchesEtcd: true, isOutage: true };
  await during(lab, marks, async () => {
    await Promise.all(lab.cluster.members.map((member) => member.restart()));
    await etcdAnswers(lab);
  });
  await forOneTtl(lab);

  expect(alice.endings).toEqual([]);
  expect((await expectKept(lab)).terms).toBe(1);
});

test.each([
  ['short', 0],
  ['half a lease', 0.5],
  ['longer than the lease', 1.5],
])(
  'S2, L5, F14: all of etcd restarts with its data, %s: exactly one replica leads within 3 s (etcd3 #158)',
  async (_, awayTtls) => {
    await using lab = await Lab.start({ cluster: cluster() });
    await lab.leader();

    const marks = { kind: 'restart-all', what: 'restart etcd', touchesEtcd: true, isOutage: true };
    await during(lab, marks, async () => {
      await Promise.all(lab.cluster.members.map((member) => member.kill()));
      const untilMs = performance.now() + awayTtls * lab.ttlMs;
      await lab.until('etcd was away for long enough', () => performance.now() >= untilMs);
      await Promise.all(lab.cluster.members.map((member) => member.start()));
      await backInTime(lab);
    });
    // A leader that survives a short restart may have used up its lease. A new leader in time is correct too.
    await forOneTtl(lab);
    await backInTime(lab);

    expect(lab.candidates.filter(({ isActing }) => isActing)).toHaveLength(1);
    await expectKept(lab);
  },
);
