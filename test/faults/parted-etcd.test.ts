import { describe, expect, test } from 'vitest';
import type { EtcdMember } from 'etcd-election/dev';
import { during } from './lab/fault-kind.ts';
import { etcdAnswers } from './lab/faults.ts';
import { Lab, NOISE_MS, type Candidate } from './lab/lab.ts';
import { expectKept, forOneTtl, nextInQueue, sharedCluster } from './lab/story.ts';

// A member that is parted from the others, and that clients still reach: it answers what it can answer by itself, and an
// old leader of etcd takes itself for the leader for a while.

const cluster = sharedCluster({ peerNetwork: true });

/** Starts a candidate anew, with nothing but this member; resolves when it is next in the queue. */
async function queueUpAt(lab: Lab, candidate: Candidate, member: EtcdMember): Promise<void> {
  await candidate.restartAt(candidate.links[lab.cluster.members.indexOf(member)]!);
  await nextInQueue(lab, [candidate]);
}

/** The leader steps down, and who waits hears of it; twice, so that both have waited. */
async function takeTurns(lab: Lab): Promise<void> {
  for (let turn = 0; turn < 2; turn++) {
    const leader = await lab.leader();
    await nextInQueue(lab);
    leader.tell({ do: 'step-down' });
    await lab.leader({ notOf: [leader] });
  }
}

describe("when etcd's leader is parted from the other members", () => {
  test('S2, L2: one way, so that it hears them and they do not hear it: nobody leads twice, and one leads', async () => {
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
      // Whoever watches there is told of nothing, though the member answers: he has looked elsewhere by now.
      await takeTurns(lab);
      member.rejoin();
    });
    await etcdAnswers(lab);
    await forOneTtl(lab);
    await lab.leader();

    await expectKept(lab);
  });

  test('S2, S3, L2: a leader that reaches nobody but it: its term ends in time, and another leads', async () => {
    await using lab = await Lab.start({ cluster: cluster(), candidates: 2 });
    const alice = await lab.leader();
    const bob = lab.candidates.find((one) => one !== alice)!;
    const member = (await lab.operator.etcdLeader())!;
    await queueUpAt(lab, bob, member);
    alice.tell({ do: 'step-down' });
    await lab.leader({ notOf: [alice] });

    const kind = 'isolate-etcd-leader';
    await during(lab, { kind, what: `${kind} ${member.name}`, touchesEtcd: true }, async () => {
      member.isolate();
      await lab.leader({ notOf: [bob] });
      await forOneTtl(lab);
      expect(bob.term).toBeUndefined();
      member.rejoin();
    });
    // Back in reach of a quorum, through the same member as before, it stands again and has its turn.
    await nextInQueue(lab, [bob]);
    alice.tell({ do: 'step-down' });
    await lab.leader({ notOf: [alice] });

    expect(bob.endings).toEqual(['deadline-passed']);
    await expectKept(lab);
  });
});

test('L4: one who waits hangs on a member that is parted: it has moved on within one TTL, and has its turn', async () => {
  await using lab = await Lab.start({ cluster: cluster(), candidates: 2 });
  const alice = await lab.leader();
  const bob = lab.candidates.find((one) => one !== alice)!;
  const etcdLeader = await lab.operator.etcdLeader();
  const member = lab.cluster.members.find((one) => one !== etcdLeader)!;
  alice.links[lab.cluster.members.indexOf(member)]!.cut(); // she is on the side of the quorum
  await queueUpAt(lab, bob, member);
  await Promise.all(bob.links.map((link) => link.restore()));

  const kind = 'isolate-etcd-follower';
  await during(lab, { kind, what: `${kind} ${member.name}` }, async () => {
    member.isolate();
    await forOneTtl(lab);
    alice.tell({ do: 'step-down' });
    await lab.leader({ notOf: [alice], withinMs: NOISE_MS });
    member.rejoin();
  });

  await expectKept(lab);
});
