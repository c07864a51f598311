/** Faults of etcd: of its members, of the network between them, and of its data. */
import type { Member } from '../etcd/cluster.ts';
import type { Story } from '../world/story.ts';
import type { World } from '../world/world.ts';
import { choose, type FaultKind, type Scene } from './fault.ts';

/** etcd lives on without a follower. Some of their faults last this many times as long as others. */
const LONG_SHARE = 0.3;
const LONG = 6;
const LONGEST_MS = 90_000;

/** @param whose `leader` is etcd's own leader; `any` is drawn among the others. */
function memberFault(
  kind: string,
  weight: number,
  whose: 'leader' | 'follower',
  harm: (scene: Scene, member: Member) => void,
  lift: (scene: Scene, member: Member) => void,
): FaultKind {
  return {
    place: 'etcd',
    weight,
    *run(scene) {
      const { cluster } = scene.world;
      const { fault, note } = scene;
      const { leader } = cluster;
      const followers = cluster.members.filter((member) => member !== leader);
      const member = whose === 'leader' && leader !== undefined ? leader : choose(followers, fault.draws[2]);
      note(`${kind} ${member.name}`, { touchesEtcd: true });
      harm(scene, member);
      const isLong = whose === 'follower' && fault.draws[1] < LONG_SHARE;
      yield isLong ? Math.min(LONG * fault.forMs, LONGEST_MS) : fault.forMs;
      lift(scene, member);
      yield* answers(scene.world);
    },
  };
}

/** Waits until a write succeeds. */
function* answers(world: World): Story {
  yield* world.operator.put('probe');
}

const killed = (kind: string, weight: number, whose: 'leader' | 'follower'): FaultKind =>
  memberFault(
    kind,
    weight,
    whose,
    (_, member) => member.kill(),
    (_, member) => member.start(),
  );

const frozen = (kind: string, weight: number, whose: 'leader' | 'follower'): FaultKind =>
  memberFault(
    kind,
    weight,
    whose,
    (_, member) => member.freeze(),
    (_, member) => member.thaw(),
  );

const isolated = (
  kind: string,
  weight: number,
  whose: 'leader' | 'follower',
  only?: 'says' | 'hears',
): FaultKind =>
  memberFault(
    kind,
    weight,
    whose,
    ({ world }, member) => world.cluster.isolate(member, only),
    ({ world }) => world.cluster.heal(),
  );

/** Longer than the other faults: its raft loop is stuck, and it continues as if healthy. */
const diskHangs = (kind: string, weight: number, whose: 'leader' | 'follower'): FaultKind =>
  memberFault(
    kind,
    weight,
    whose,
    ({ fault }, member) => member.hangDisk(2 * fault.forMs),
    () => undefined,
  );

export const etcdFaults: Readonly<Record<string, FaultKind>> = {
  'kill-etcd-leader': killed('kill-etcd-leader', 2, 'leader'),
  'kill-etcd-follower': killed('kill-etcd-follower', 2, 'follower'),
  'freeze-etcd-leader': frozen('freeze-etcd-leader', 3, 'leader'),
  'freeze-etcd-follower': frozen('freeze-etcd-follower', 2, 'follower'),
  'hang-disk-of-etcd-leader': diskHangs('hang-disk-of-etcd-leader', 3, 'leader'),
  'hang-disk-of-etcd-follower': diskHangs('hang-disk-of-etcd-follower', 1, 'follower'),
  'isolate-etcd-leader': isolated('isolate-etcd-leader', 3, 'leader'),
  'mute-etcd-leader': isolated('mute-etcd-leader', 2, 'leader', 'says'),
  'deafen-etcd-leader': isolated('deafen-etcd-leader', 2, 'leader', 'hears'),
  'isolate-etcd-follower': isolated('isolate-etcd-follower', 2, 'follower'),
  'deafen-etcd-follower': isolated('deafen-etcd-follower', 1, 'follower', 'hears'),
  // A partition with etcd's leader and a client on its smaller side, or with a disk that hangs there.
  'alone-with-etcd-leader': {
    place: 'etcd',
    weight: 3,
    *run({ world, victim, fault, note }) {
      const { cluster, network } = world;
      const member = cluster.leader ?? choose(cluster.members, fault.draws[2]);
      const forMs = (1 + 3 * fault.draws[2]) * world.ttlMs;
      const hangs = fault.draws[1] < 0.6;
      note(`${victim.name} reaches only ${member.name}, which ${hangs ? 'hangs' : 'is parted'}`, {
        touchesEtcd: true,
      });
      const others = network.linksOf(victim.name).filter(({ endpoint }) => endpoint.name !== member.name);
      for (const link of others) link.block('up', 'down');
      if (hangs) member.hangDisk(forMs);
      else cluster.isolate(member);
      yield forMs;
      if (!hangs) cluster.heal();
      for (const link of others) link.unblock('up', 'down');
      yield* answers(world);
    },
  },
  'quorum-lost': {
    place: 'etcd',
    weight: 2,
    *run({ world, fault, note }) {
      const isKill = fault.draws[1] < 0.5;
      const spared = choose(world.cluster.members, fault.draws[2]);
      const two = world.cluster.members.filter((member) => member !== spared);
      note(`quorum lost: ${isKill ? 'kill' : 'freeze'} ${two.map(({ name }) => name).join(' and ')}`, {
        touchesEtcd: true,
        isOutage: true,
      });
      for (const member of two)
        if (isKill) member.kill();
        else member.freeze();
      yield fault.forMs;
      for (const member of two)
        if (isKill) member.start();
        else member.thaw();
      yield* answers(world);
    },
  },
  'restart-all': {
    place: 'etcd',
    weight: 1,
    *run({ world, fault, note }) {
      note('restart all of etcd from its data', { touchesEtcd: true, isOutage: true });
      for (const member of world.cluster.members) member.kill();
      yield fault.forMs;
      for (const member of world.cluster.members) member.start();
      yield* answers(world);
    },
  },
  'rolling-restart': {
    place: 'etcd',
    weight: 1,
    *run({ world, note }) {
      note('rolling restart of etcd', { touchesEtcd: true, isOutage: true });
      for (const member of world.cluster.members) {
        member.kill();
        yield 50;
        member.start();
        yield* answers(world);
      }
    },
  },
  compaction: {
    place: 'etcd',
    weight: 2,
    *run({ world, victim, fault, note }) {
      // The victim is disconnected meanwhile: the revision that it needs next is gone.
      note(`compact while ${victim.name} is away`);
      const links = world.network.linksOf(victim.name);
      for (const link of links) link.block('up', 'down');
      yield* world.operator.put('noise');
      yield* world.operator.compact();
      yield Math.min(fault.forMs, 1_000);
      for (const link of links) link.unblock('up', 'down');
    },
  },
  'revoke-lease': evicting('revoke the lease of', ({ world }, { leaseId }) => world.operator.revoke(leaseId)),
  'delete-key': evicting('delete the key of', ({ world }, { key }) => world.operator.delete(key)),
  'take-off-lease': evicting(
    'take off its lease the key of',
    ({ world }, { key }) => world.operator.takeOffLease(key, 'taken off its lease'),
    1,
  ),
};

interface Held {
  readonly key: string;
  readonly leaseId: string;
}

function evicting(
  what: string,
  take: (scene: Scene, held: Held) => Generator<number, unknown>,
  weight = 2,
): FaultKind {
  return {
    place: 'etcd',
    weight,
    *run(scene) {
      const held = scene.world.heldBy(scene.victim.name);
      if (held === undefined) return;
      scene.note(`${what} ${scene.victim.name}`, { evicts: scene.victim.name });
      yield* take(scene, held);
    },
  };
}
