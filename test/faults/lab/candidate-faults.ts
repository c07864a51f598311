/** Faults of one candidate: of its links, its process, its clocks, its lease and its key. */
import { startProxy } from 'etcd-election/dev';
import { hangUp } from './act.ts';
import { setWallClock } from './faketime.ts';
import type { Candidate } from './candidate-process.ts';
import { during, drawMs, type EtcdErrorKind } from './fault-kind.ts';
import type { Seeded } from './seeded.ts';
import { ignoreRefusal } from './gateway.ts';

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

const HOUR_S = 3_600;

export const candidateFaults: readonly EtcdErrorKind[] = [
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
];

export const foreignCluster: EtcdErrorKind = {
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
};
