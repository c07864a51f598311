/** Faults of the members of etcd: of their processes, their disks, their network and their data. */
import type { Direction, EtcdMember } from 'etcd-election/dev';
import { hangUp } from './act.ts';
import { HANGING_DISK, hangDisk } from './hanging-disk.ts';
import type { Lab } from './lab.ts';
import { during, drawMs, type EtcdErrorKind, type Scene } from './fault-kind.ts';
import { ignoreRefusal, Refusal } from './gateway.ts';
import { etcdAnswers } from './etcd-answers.ts';

function memberFault(
  kind: string,
  weight: number,
  harm: (scene: Scene, member: EtcdMember) => Promise<void>,
  whose: 'leader' | 'follower',
): EtcdErrorKind {
  return {
    kind,
    place: 'etcd',
    weight,
    async run(scene) {
      const { lab, random } = scene;
      const leader = await lab.operator.etcdLeader();
      const followers = lab.cluster.members.filter((member) => member !== leader);
      const member = whose === 'leader' && leader !== undefined ? leader : random.pick(followers);
      await during(lab, { kind, what: `${kind} ${member.name}`, touchesEtcd: true }, () =>
        harm(scene, member),
      );
    },
  };
}

async function killMember(scene: Scene, member: EtcdMember): Promise<void> {
  await member.kill();
  await hangUp(drawMs(scene, 0.2, 2));
  await member.start();
}

async function freezeMember(scene: Scene, member: EtcdMember): Promise<void> {
  member.freeze();
  await hangUp(drawMs(scene, 0.2, 2.5));
  member.thaw();
}

/** Each sync takes longer than a lease lives, so that one sync keeps the member's raft loop stuck. */
async function hangDiskOf(scene: Scene, member: EtcdMember): Promise<void> {
  const lift = await hangDisk(member, 10 * scene.lab.ttlMs);
  await hangUp(drawMs(scene, 0.5, 5));
  await lift();
}

/** Partitions a member from the others. Clients still reach it, and it keeps its beliefs. */
const isolateMember =
  (direction: Direction) =>
  async (scene: Scene, member: EtcdMember): Promise<void> => {
    member.isolate(direction);
    await hangUp(drawMs(scene, 0.2, 3));
    member.rejoin();
  };

export const etcdFaults: readonly EtcdErrorKind[] = [
  {
    kind: 'move-etcd-leader',
    place: 'etcd',
    weight: 3,
    async run({ lab }) {
      await during(
        lab,
        { kind: 'move-etcd-leader', what: 'move etcd leadership', touchesEtcd: true },
        async () => {
          if (!(await lab.operator.moveLeader())) throw new Error('etcd did not move its leadership');
        },
      );
    },
  },
  memberFault('kill-etcd-leader', 2, killMember, 'leader'),
  memberFault('freeze-etcd-leader', 3, freezeMember, 'leader'),
  memberFault('kill-etcd-follower', 2, killMember, 'follower'),
  memberFault('freeze-etcd-follower', 2, freezeMember, 'follower'),
  memberFault(HANGING_DISK.ofLeader, 3, hangDiskOf, 'leader'),
  memberFault(HANGING_DISK.ofFollower, 1, hangDiskOf, 'follower'),
  memberFault('isolate-etcd-leader', 2, isolateMember('both'), 'leader'),
  memberFault('mute-etcd-leader', 2, isolateMember('up'), 'leader'),
  memberFault('deafen-etcd-leader', 2, isolateMember('down'), 'leader'),
  memberFault('isolate-etcd-follower', 2, isolateMember('both'), 'follower'),
  memberFault('deafen-etcd-follower', 1, isolateMember('down'), 'follower'),
  {
    kind: 'quorum-lost',
    place: 'etcd',
    weight: 2,
    async run(scene) {
      const { lab, random } = scene;
      const kills = random.next() < 0.5;
      const [, ...two] = [...lab.cluster.members].sort(() => random.next() - 0.5);
      const what = `quorum lost: ${kills ? 'kill' : 'freeze'} ${two.map(({ name }) => name).join(' and ')}`;
      await during(lab, { kind: 'quorum-lost', what, touchesEtcd: true, isOutage: true }, async () => {
        if (kills) await Promise.all(two.map((member) => member.kill()));
        else for (const member of two) member.freeze();
        await hangUp(drawMs(scene, 0.3, 2));
        if (kills) await Promise.all(two.map((member) => member.start()));
        else for (const member of two) member.thaw();
        await etcdAnswers(lab);
      });
    },
  },
  {
    kind: 'restart-all',
    place: 'etcd',
    weight: 1,
    async run({ lab }) {
      const marks = {
        kind: 'restart-all',
        what: 'restart all of etcd from its data',
        touchesEtcd: true,
        isOutage: true,
      };
      await during(lab, marks, async () => {
        await lab.cluster.restart();
        await etcdAnswers(lab);
      });
    },
  },
  {
    kind: 'rolling-restart',
    place: 'etcd',
    weight: 1,
    async run({ lab }) {
      await during(
        lab,
        { kind: 'rolling-restart', what: 'rolling restart of etcd', touchesEtcd: true, isOutage: true },
        async () => {
          for (const member of lab.cluster.members) {
            await member.restart();
            await etcdAnswers(lab);
          }
        },
      );
    },
  },
  {
    kind: 'compaction',
    place: 'etcd',
    weight: 2,
    async run(scene) {
      const { lab, victim } = scene;
      // The victim is disconnected meanwhile: the revision that it needs next is gone.
      await during(lab, { kind: 'compaction', what: `compact while ${victim.name} is away` }, async () => {
        for (const link of victim.links) link.cut();
        await lab.operator.put(`${lab.election}-noise`, 'x');
        await lab.operator.compact().catch(ignoreRefusal);
        await hangUp(drawMs(scene, 0.1, 0.5));
        await lab.reconnect(victim);
      });
    },
  },
  {
    kind: 'no-space',
    place: 'etcd',
    weight: 1,
    async run(scene) {
      const { lab } = scene;
      // Without writes there are no new candidates: the leader keeps leading.
      const marks = { kind: 'no-space', what: 'etcd out of space', touchesEtcd: true, isOutage: true };
      await during(lab, marks, async () => {
        await fill(lab);
        await hangUp(drawMs(scene, 0.2, 1));
        await makeSpace(lab);
      });
    },
  },
];

const FILLER = Buffer.alloc(1_000_000, 'x');
const MOST_FILLERS = 200;

/** Writes until etcd is out of space. */
async function fill(lab: Lab): Promise<void> {
  for (let turn = 0; turn < MOST_FILLERS; turn++) {
    try {
      await lab.operator.put(`${lab.election}-filler`, FILLER);
    } catch (error) {
      if (error instanceof Refusal) return;
      throw error;
    }
  }
}

async function makeSpace(lab: Lab): Promise<void> {
  await lab.operator.delete(`${lab.election}-filler`).catch(ignoreRefusal);
  await lab.operator.compact().catch(ignoreRefusal);
  for (const { endpoint } of lab.cluster.members)
    await lab.operator.etcdctl(endpoint, 'defrag').catch(() => undefined);
  await lab.operator.etcdctl(lab.cluster.endpoints.join(','), 'alarm', 'disarm');
  await etcdAnswers(lab);
}
