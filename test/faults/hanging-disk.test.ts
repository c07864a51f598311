import { describe, expect, test } from 'vitest';
import { overlaps } from './lab/checker.ts';
import { during } from './lab/fault-kind.ts';
import { etcdAnswers } from './lab/etcd-answers.ts';
import { hangDisk, HANGING_DISK, whyNoDiskHangs } from './lab/hanging-disk.ts';
import type { Candidate } from './lab/candidate-process.ts';
import { seriesOrGiven } from './lab/etcd-binary.ts';
import { Lab, NOISE_MS } from './lab/lab.ts';
import { Replica } from './lab/replica.ts';
import { unconfirmedRenewals } from './lab/sabotages.ts';
import { expectKept, forOneTtl, nextInQueue, sharedCluster } from './lab/story.ts';

// A member whose disk hangs still answers renewals and watches. Its raft loop is stuck, so it does not learn that the
// others have elected another leader.

const whyNot = await whyNoDiskHangs();
if (whyNot !== undefined) console.log(`NOT RUN: the tests with a hanging disk, because ${whyNot}`);

/** Makes a candidate lead with all streams on this member of etcd. Its way to the other members stays cut. */
async function leaderAt(lab: Lab, link: number): Promise<Candidate> {
  const first = await lab.leader();
  const victim = lab.candidates.find((one) => one !== first)!;
  await victim.restartAt(victim.links[link]!);
  await nextInQueue(lab, [victim]);
  await lab.until('the victim leads', () => {
    for (const other of lab.candidates)
      if (other !== victim && other.isActing) other.tell({ do: 'step-down' });
    return victim.isActing;
  });
  return victim;
}

/** Hangs the disk of etcd's leader until another candidate has led for two TTLs beside the victim. */
async function hangUnderLeader(lab: Lab, endpoints: 'one' | 'all'): Promise<Candidate> {
  const member = (await lab.operator.etcdLeader())!;
  const victim = await leaderAt(lab, lab.cluster.members.indexOf(member));
  if (endpoints === 'all') await Promise.all(victim.links.map((link) => link.restore()));
  const kind = HANGING_DISK.ofLeader;
  await during(lab, { kind, what: `${kind} ${member.name}`, touchesEtcd: true }, async () => {
    const lift = await hangDisk(member, 20 * lab.ttlMs, 'wal');
    try {
      if (endpoints === 'one') await lab.leader({ notOf: [victim] });
      await forOneTtl(lab);
      await forOneTtl(lab);
    } finally {
      await lift();
    }
  });
  await etcdAnswers(lab);
  await Promise.all(victim.links.map((link) => link.restore()));
  await lab.leader();
  return victim;
}

describe.skipIf(whyNot !== undefined).each(seriesOrGiven('3.4', '3.5'))(
  "when the disk of etcd's leader hangs, etcd %s",
  (series) => {
    const cluster = sharedCluster({ series });

    test('S2: a leader that reaches only that member stops in time, and another leads', async () => {
      await using lab = await Lab.start({ cluster: cluster(), candidates: 2, ttlSeconds: 3 });
      const victim = await hangUnderLeader(lab, 'one');
      expect(victim.endings[0]).toBe('deadline-passed');
      await expectKept(lab);
    });

    test('S2, L4: a leader with streams on that member changes members, or stops in time', async () => {
      await using lab = await Lab.start({ cluster: cluster(), candidates: 2, ttlSeconds: 3 });
      await hangUnderLeader(lab, 'all');
      await expectKept(lab);
    });
  },
);

describe.skipIf(whyNot !== undefined)("when the disk of etcd's leader hangs", () => {
  const cluster = sharedCluster({ series: '3.4' }); // since 3.5.13 etcd often does not answer such a renewal

  test('S2: a library that believes renewals without asking further is caught', async () => {
    await using lab = await Lab.start({
      cluster: cluster(),
      candidates: 2,
      ttlSeconds: 3,
      sabotage: unconfirmedRenewals,
    });
    await hangUnderLeader(lab, 'one');
    const { evidence } = await lab.verdict();
    expect(overlaps(evidence).some(({ ms = 0 }) => ms > lab.ttlMs / 2)).toBe(true);
  });

  test('L4: an observer on that member sees the next leader within one TTL', async () => {
    await using lab = await Lab.start({ cluster: cluster(), candidates: 2, ttlSeconds: 3 });
    const member = (await lab.operator.etcdLeader())!;
    const index = lab.cluster.members.indexOf(member);
    await using observer = await Replica.start({
      endpoints: lab.cluster.endpoints,
      election: lab.election,
      value: '',
      options: { ttlSeconds: 3 },
    });
    for (const link of observer.links) if (link !== observer.links[index]) link.cut();
    let named = '';
    const observing = (async () => {
      for await (const leader of observer.election.observe()) named = leader?.value ?? 'nobody';
    })();
    const victim = await leaderAt(lab, index);
    await lab.until('the observer names it', () => named === victim.name);
    await observer.restore();

    const kind = HANGING_DISK.ofLeader;
    await during(lab, { kind, what: `${kind} ${member.name}`, touchesEtcd: true }, async () => {
      const lift = await hangDisk(member, 20 * lab.ttlMs, 'wal');
      try {
        const next = await lab.leader({ notOf: [victim] });
        await lab.until('the observer names the next one', () => named === next.name, lab.ttlMs + NOISE_MS);
      } finally {
        await lift();
      }
    });
    await etcdAnswers(lab);
    await victim.restore();
    await lab.leader();
    await expectKept(lab);
    await observer.election.close();
    await observing;
  });
});

describe.skipIf(whyNot !== undefined)('when the disk of a follower of etcd hangs', () => {
  const cluster = sharedCluster();

  test('L4: a leader with streams on it changes members, and no term ends', async () => {
    await using lab = await Lab.start({ cluster: cluster(), candidates: 2, ttlSeconds: 6 }); // a busy machine costs no lease of this length
    const etcdLeader = await lab.operator.etcdLeader();
    const member = lab.cluster.members.find((one) => one !== etcdLeader)!;
    const victim = await leaderAt(lab, lab.cluster.members.indexOf(member));
    await Promise.all(victim.links.map((link) => link.restore()));
    const kind = HANGING_DISK.ofFollower;
    await during(lab, { kind, what: `${kind} ${member.name}` }, async () => {
      const lift = await hangDisk(member, 10 * lab.ttlMs);
      try {
        await forOneTtl(lab);
      } finally {
        await lift();
      }
    });
    await etcdAnswers(lab);

    expect(victim.endings).toEqual([]);
    await expectKept(lab);
  });

  test('S2: a leader that reaches only that member stops in time, and another leads', async () => {
    await using lab = await Lab.start({ cluster: cluster(), candidates: 2, ttlSeconds: 3 });
    const etcdLeader = await lab.operator.etcdLeader();
    const member = lab.cluster.members.find((one) => one !== etcdLeader)!;
    const victim = await leaderAt(lab, lab.cluster.members.indexOf(member));
    const kind = HANGING_DISK.ofFollower;
    await during(lab, { kind, what: `${kind} ${member.name}` }, async () => {
      const lift = await hangDisk(member, 10 * lab.ttlMs);
      try {
        await lab.leader({ notOf: [victim] });
        await forOneTtl(lab);
      } finally {
        await lift();
      }
    });
    await etcdAnswers(lab);
    await victim.restore();
    await expectKept(lab);
  });
});
