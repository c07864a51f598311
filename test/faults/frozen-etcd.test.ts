import { Etcd3 } from 'etcd3';
import { Election } from 'etcd-election';
import { expect, test } from 'vitest';
import { within } from '../support/eventually.ts';
import { RecordedLog } from '../support/recorded-log.ts';
import { during } from './lab/fault-kind.ts';
import { etcdAnswers } from './lab/etcd-answers.ts';
import { Lab, NOISE_MS } from './lab/lab.ts';
import {
  backInTime,
  expectKept,
  forOneTtl,
  handOver,
  leaderThatAppends,
  nextInQueue,
  sharedCluster,
} from './lab/story.ts';

// A frozen member keeps its connections and answers nothing, like a host that swaps.

const cluster = sharedCluster();

test("S2, L4, F10: etcd's leader freezes: keep-alive and watch change members, and only one replica leads (etcd #14641)", async () => {
  await using lab = await Lab.start({ cluster: cluster() });
  await lab.leader();

  const member = await lab.operator.etcdLeader();
  await during(
    lab,
    { kind: 'freeze-etcd-leader', what: `freeze ${member?.name}`, touchesEtcd: true },
    async () => {
      member!.freeze();
      try {
        await forOneTtl(lab);
        // The watch works too: the next candidate sees the leader's resignation.
        const leader = await leaderThatAppends(lab); // the checker judges the time: etcd must first elect its own leader
        await nextInQueue(lab);
        await handOver(lab, leader, NOISE_MS);
      } finally {
        member!.thaw();
      }
    },
  );
  await etcdAnswers(lab);
  await lab.leader();

  await expectKept(lab);
});

test('L4: a follower of etcd freezes: its clients change members, and no term ends', async () => {
  await using lab = await Lab.start({ cluster: cluster(), ttlSeconds: 6 }); // a busy machine costs no lease of this length
  const alice = await lab.leader();
  const etcdLeader = await lab.operator.etcdLeader();

  for (const member of lab.cluster.members.filter((one) => one !== etcdLeader)) {
    const kind = 'freeze-etcd-follower';
    await during(lab, { kind, what: `freeze ${member.name}` }, async () => {
      member.freeze();
      try {
        await forOneTtl(lab);
      } finally {
        member.thaw();
      }
    });
    await etcdAnswers(lab);
  }

  expect(alice.endings).toEqual([]);
  expect((await expectKept(lab)).terms).toBe(1);
});

test('L4: all of etcd freezes: within one TTL an observer reports that the leader is unknown', async () => {
  await using lab = await Lab.start({ cluster: cluster() });
  await lab.leader();
  const ttlSeconds = 2;
  const { members, endpoints } = lab.cluster;
  const client = new Etcd3({ hosts: [...endpoints] });
  const observer = new Election(client, 'elsewhere', { ttlSeconds, logger: new RecordedLog().logger });
  const leaders = observer.observe();
  expect((await leaders.next()).value).toBeUndefined(); // no leader here
  for (const member of members) member.freeze();
  try {
    expect(await within(ttlSeconds * 1_000 + NOISE_MS, 'a doubt', leaders.next())).toMatchObject({
      value: null,
    });
  } finally {
    for (const member of members) member.thaw();
  }
  await etcdAnswers(lab); // its members may elect a leader first
  expect((await within(3_000 + NOISE_MS, 'the truth', leaders.next())).value).toBeUndefined();
  await observer.close();
  client.close();
});

test('S2, L5: etcd loses its quorum: the leader stops in time, and one leads 3 s after its return', async () => {
  await using lab = await Lab.start({ cluster: cluster() });
  await lab.leader();

  const [, ...two] = lab.cluster.members;
  const marks = { kind: 'quorum-lost', what: 'freeze two of three', touchesEtcd: true, isOutage: true };
  await during(lab, marks, async () => {
    for (const member of two) member.freeze();
    try {
      await lab.until('nobody leads', () => lab.candidates.every(({ term }) => term === undefined));
    } finally {
      for (const member of two) member.thaw();
    }
    await backInTime(lab);
  });

  await expectKept(lab);
});
