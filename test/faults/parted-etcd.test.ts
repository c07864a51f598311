import { Etcd3 } from 'etcd3';
import { Election, type Observed } from 'etcd-election';
import { describe, expect, test } from 'vitest';
import type { EtcdMember } from 'etcd-election/dev';
import { eventually } from '../support/eventually.ts';
import { RecordedLog } from '../support/recorded-log.ts';
import { startSwitchboard } from '../support/switchboard.ts';
import { SOON_MS } from '../support/world.ts';
import { during } from './lab/fault-kind.ts';
import { etcdAnswers } from './lab/etcd-answers.ts';
import type { Candidate } from './lab/candidate-process.ts';
import { Lab, NOISE_MS } from './lab/lab.ts';
import { expectKept, forOneTtl, handOver, nextInQueue, sharedCluster } from './lab/story.ts';

// A member is partitioned from the others, but clients still reach it. It answers what it can answer alone, and an old
// leader of etcd believes for a while that it still leads.

const cluster = sharedCluster({ peerNetwork: true });

/** Restarts a candidate with access to this member only. Resolves when it is next in the queue. */
async function queueUpAt(lab: Lab, candidate: Candidate, member: EtcdMember): Promise<void> {
  await candidate.restartAt(candidate.links[lab.cluster.members.indexOf(member)]!);
  await nextInQueue(lab, [candidate]);
}

/** The leader steps down and the waiting candidate sees it. This happens twice, so that both have waited. */
async function takeTurns(lab: Lab): Promise<void> {
  for (let turn = 0; turn < 2; turn++) {
    const leader = await lab.leader();
    await nextInQueue(lab);
    await handOver(lab, leader);
  }
}

describe("when etcd's leader is partitioned from the other members", () => {
  test('S2, L2: in one direction (it receives, but they do not): exactly one replica leads', async () => {
    await using lab = await Lab.start({ cluster: cluster(), candidates: 2 });
    const alice = await lab.leader();
    const bob = lab.candidates.find((one) => one !== alice)!;
    const member = (await lab.operator.etcdLeader())!;
    await queueUpAt(lab, bob, member);
    await Promise.all(bob.links.map((link) => link.restore()));

    const kind = 'mute-etcd-leader';
    await during(lab, { kind, what: `${kind} ${member.name}`, touchesEtcd: true }, async () => {
      member.isolate('up');
      await forOneTtl(lab);
      await forOneTtl(lab);
      // A watch on that member reports nothing, although the member answers. The candidate has changed members by now.
      await takeTurns(lab);
      member.rejoin();
    });
    await etcdAnswers(lab);
    await forOneTtl(lab);
    await lab.leader();

    await expectKept(lab);
  });

  test('S2, S3, L2: a leader that reaches only that member stops in time, and another leads', async () => {
    await using lab = await Lab.start({ cluster: cluster(), candidates: 2 });
    const alice = await lab.leader();
    const bob = lab.candidates.find((one) => one !== alice)!;
    const member = (await lab.operator.etcdLeader())!;
    await queueUpAt(lab, bob, member);
    await handOver(lab, alice);

    const kind = 'isolate-etcd-leader';
    await during(lab, { kind, what: `${kind} ${member.name}`, touchesEtcd: true }, async () => {
      member.isolate();
      await lab.leader({ notOf: [bob] });
      await forOneTtl(lab);
      expect(bob.term).toBeUndefined();
      member.rejoin();
    });
    // When this member reaches a quorum again, the candidate enters again and gets its turn.
    await nextInQueue(lab, [bob]);
    await handOver(lab, alice);

    expect(new Set(bob.endings)).toEqual(new Set(['deadline-passed']));
    await expectKept(lab);
  });
});

test('L4: a waiting candidate on the partitioned member changes members within one TTL, and gets its turn', async () => {
  await using lab = await Lab.start({ cluster: cluster(), candidates: 2 });
  const alice = await lab.leader();
  const bob = lab.candidates.find((one) => one !== alice)!;
  const etcdLeader = await lab.operator.etcdLeader();
  const member = lab.cluster.members.find((one) => one !== etcdLeader)!;
  alice.links[lab.cluster.members.indexOf(member)]!.cut(); // alice is on the side of the quorum
  await queueUpAt(lab, bob, member);
  await Promise.all(bob.links.map((link) => link.restore()));

  const kind = 'isolate-etcd-follower';
  await during(lab, { kind, what: `${kind} ${member.name}` }, async () => {
    member.isolate();
    await forOneTtl(lab);
    await handOver(lab, alice, NOISE_MS);
    member.rejoin();
  });

  await expectKept(lab);
});

test('L4: behind a load balancer, an observer and a read leave a member without a leader', async () => {
  const { members, endpoints } = cluster();
  const [member] = members;
  await using balancer = await startSwitchboard(endpoints[0]!);
  const direct = new Etcd3({ hosts: endpoints[0]! });
  const client = new Etcd3({ hosts: balancer.endpoint });
  const { logger } = new RecordedLog();
  const election = new Election(client, 'balanced', { prefix: 'parted/', logger });
  member!.isolate();
  try {
    const isAlone = async (): Promise<boolean> => (await direct.maintenance.status()).leader === '0';
    await eventually(isAlone, { withinMs: 30_000 });

    await expect(election.leader()).rejects.toMatchObject({ code: 'ELECTION_UNAVAILABLE' });
    balancer.next(endpoints[1]!);
    await eventually(async () => (await election.leader()) === undefined, { withinMs: 2 * SOON_MS });
    await election.close();

    balancer.to(endpoints[0]);
    const observer = new Election(client, 'observed', { prefix: 'parted/', logger });
    const seen: Observed[] = [];
    const observing = (async () => {
      for await (const leader of observer.observe()) seen.push(leader);
    })();
    await eventually(() => balancer.connected > 0, { withinMs: SOON_MS });
    balancer.next(endpoints[1]!);
    await eventually(() => seen.includes(undefined), { withinMs: 2 * SOON_MS });
    await observer.close();
    await observing;
  } finally {
    member!.rejoin();
    client.close();
    direct.close();
  }
});
