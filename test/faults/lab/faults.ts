/** Every fault that the lab can cause. Each is drawn from a seed, happens, is removed, and is recorded. */
import { startProxy, type Direction, type EtcdMember } from 'etcd-election/dev';
import { hangUp } from './act.ts';
import { setWallClock } from './faketime.ts';
import { Refusal } from './gateway.ts';
import { HANGING_DISK, hangDisk } from './hanging-disk.ts';
import type { Candidate } from './candidate-process.ts';
import type { Lab } from './lab.ts';
import { during, drawMs, type EtcdErrorKind, type Scene } from './fault-kind.ts';
import { historyFaults } from './history-faults.ts';
import { permissionFaults } from './permission-faults.ts';
import type { Seeded } from './seeded.ts';

type LinkFault = (link: Candidate['links'][number], random: Seeded) => void;

function linkFault(kind: string, harm: LinkFault): EtcdErrorKind {
  return {
    kind,
    place: 'candidate',
    weight: 3,
    async run(scene) {
      const { lab, victim, random } = scene;
      const forMs = drawMs(scene, 0.2, 2.2);
      // All its links or one of them: with one, the others still work.
      const links = random.next() < 0.7 ? victim.links : [random.pick(victim.links)];
      const what = `${kind} ${links.length === 1 ? 'one link' : 'all links'} of ${victim.name} for ${forMs} ms`;
      await during(lab, { kind, what }, async () => {
        for (const link of links) harm(link, random);
        await hangUp(forMs);
        await lab.reconnect({ links });
      });
    },
  };
}

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

const HOUR_S = 3_600;

export const faultKinds: readonly EtcdErrorKind[] = [
  linkFault('cut', (link) => link.cut()),
  linkFault('stall-both', (link) => link.stall()),
  linkFault('stall-up', (link) => link.stall('up')),
  linkFault('stall-down', (link) => link.stall('down')),
  linkFault('slow', (link, random) => link.slow(random.between(20, 700))),
  linkFault('reset', (link) => link.reset()),
  linkFault('reset-all', (link) => link.resetAll()),
  linkFault('lose-replies', (link) => link.loseReplies()),
  {
    kind: 'pause',
    place: 'candidate',
    weight: 4,
    async run(scene) {
      const { lab, victim } = scene;
      const forMs = drawMs(scene, 0.2, 2.5);
      await during(lab, { kind: 'pause', what: `pause ${victim.name} for ${forMs} ms` }, async () => {
        victim.freeze();
        await hangUp(forMs);
        victim.thaw();
      });
    },
  },
  {
    kind: 'kill',
    place: 'candidate',
    weight: 3,
    async run(scene) {
      const { lab, victim } = scene;
      await during(lab, { kind: 'kill', what: `kill ${victim.name}` }, async () => {
        await lab.kill(victim);
        await hangUp(drawMs(scene, 0, 1.5));
        victim.start();
      });
    },
  },
  {
    kind: 'block-loop',
    place: 'candidate',
    weight: 4,
    async run(scene) {
      const { lab, victim } = scene;
      const forMs = drawMs(scene, 0.3, 2.2);
      await during(lab, { kind: 'block-loop', what: `block ${victim.name} for ${forMs} ms` }, async () => {
        victim.tell({ do: 'block', forMs });
        await hangUp(forMs);
      });
    },
  },
  {
    kind: 'gc-pressure',
    place: 'candidate',
    weight: 2,
    async run(scene) {
      const { lab, victim } = scene;
      const forMs = drawMs(scene, 0.5, 1.5);
      await during(lab, { kind: 'gc-pressure', what: `litter ${victim.name} for ${forMs} ms` }, async () => {
        victim.tell({ do: 'litter', forMs });
        await hangUp(forMs);
      });
    },
  },
  {
    kind: 'wall-clock',
    place: 'candidate',
    weight: 3,
    async run({ lab, random, clockFile }) {
      if (clockFile === undefined) return;
      const offset = random.pick([-HOUR_S, HOUR_S, -30, 30]);
      const what = `wall clock of all candidates ${offset > 0 ? '+' : ''}${offset} s`;
      await during(lab, { kind: 'wall-clock', what }, async () => {
        await setWallClock(clockFile, offset);
        await hangUp(lab.ttlMs / 2);
        await setWallClock(clockFile, 0);
      });
    },
  },
  {
    kind: 'step-down',
    place: 'candidate',
    weight: 1,
    async run({ lab, victim }) {
      await during(lab, { kind: 'step-down', what: `step down ${victim.name}` }, async () =>
        victim.tell({ do: 'step-down' }),
      );
    },
  },
  {
    kind: 'revoke-lease',
    place: 'candidate',
    weight: 3,
    async run({ lab, victim }) {
      const leaseId = victim.term?.leaseId;
      if (leaseId === undefined || leaseId === '') return; // etcd3's election does not expose it
      await during(
        lab,
        { kind: 'revoke-lease', what: `revoke the lease of ${victim.name}`, evicts: victim.name },
        () => lab.operator.revoke(leaseId).catch(ignoreRefusal),
      );
    },
  },
  {
    kind: 'delete-key',
    place: 'candidate',
    weight: 3,
    async run({ lab, victim }) {
      const key = victim.term?.key;
      if (key === undefined || key === '') return;
      await during(
        lab,
        { kind: 'delete-key', what: `delete the key of ${victim.name}`, evicts: victim.name },
        () => lab.operator.delete(key).catch(ignoreRefusal),
      );
    },
  },
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
  ...historyFaults,
  ...permissionFaults,
  {
    kind: 'foreign-cluster',
    place: 'etcd', // only one fault at a time may be at a link
    weight: 3,
    async run(scene) {
      const { lab, victim, random } = scene;
      const target = (await lab.foreign()).endpoints[0]!;
      const link = random.pick([...victim.links]);
      const what = `one endpoint of ${victim.name} leads to another etcd`;
      await during(lab, { kind: 'foreign-cluster', what }, async () => {
        link.cut();
        await hangUp(20); // its port is free again
        const astray = await startProxy({ target, port: link.port });
        await hangUp(drawMs(scene, 0.5, 4));
        await astray.close();
        await link.restore();
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

/** Waits until a write succeeds. */
export async function etcdAnswers(lab: Lab): Promise<void> {
  await lab.operator.put(`${lab.election}-probe`, 'x');
}

const ignoreRefusal = (error: unknown): void => {
  if (!(error instanceof Refusal)) throw error;
};

/** Draws a fault by weight. */
export function drawFault(random: Seeded, from: readonly EtcdErrorKind[]): EtcdErrorKind {
  const total = from.reduce((sum, { weight }) => sum + weight, 0);
  let at = random.next() * total;
  return from.find(({ weight }) => (at -= weight) < 0) ?? from[0]!;
}
