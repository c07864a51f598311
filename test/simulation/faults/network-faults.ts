/** Faults of the network between one process and etcd. */
import type { Link } from '../network/link.ts';
import { choose, type FaultKind, type Scene } from './fault.ts';

/** All links of the victim or one of them: with one, the others still work. */
function linksOf({ world, victim, fault }: Scene): readonly Link[] {
  const links = world.network.linksOf(victim.name);
  const [, how, which] = fault.draws;
  return how < 0.6 ? links : [choose(links, which)];
}

/** @param harm @param lift are called for each link. */
function linkFault(
  what: string,
  weight: number,
  harm: (link: Link, scene: Scene) => void,
  lift: (link: Link) => void = () => undefined,
): FaultKind {
  return {
    place: 'network',
    weight,
    *run(scene) {
      const links = linksOf(scene);
      const { victim, fault, note } = scene;
      note(
        `${what} ${links.length === 1 ? `the way to ${links[0]!.address}` : 'all ways'} of ${victim.name}`,
      );
      for (const link of links) harm(link, scene);
      yield fault.forMs;
      for (const link of links) lift(link);
    },
  };
}

const HTTP_STATUSES = [404, 502, 503, 403] as const;

export const networkFaults: Readonly<Record<string, FaultKind>> = {
  cut: linkFault(
    'cut',
    4,
    (link) => link.block('up', 'down'),
    (link) => link.unblock('up', 'down'),
  ),
  'cut-up': linkFault(
    'nothing gets up',
    3,
    (link) => link.block('up'),
    (link) => link.unblock('up'),
  ),
  'cut-down': linkFault(
    'nothing comes down',
    3,
    (link) => link.block('down'),
    (link) => link.unblock('down'),
  ),
  // The connections do not survive it, as behind a firewall that forgets them.
  'cut-and-reset': linkFault(
    'cut, and then reset,',
    2,
    (link) => link.block('up', 'down'),
    (link) => {
      link.unblock('up', 'down');
      link.reset();
    },
  ),
  slow: linkFault(
    'slow down',
    3,
    (link, { fault }) => {
      link.extraMs = 20 + fault.draws[1] * 700;
    },
    (link) => {
      link.extraMs = 0;
    },
  ),
  // A path that gets worse and then fails. The last answers that arrive are the old ones.
  'slow-then-cut': {
    place: 'network',
    weight: 3,
    *run({ world, victim, fault, note }) {
      const links = world.network.linksOf(victim.name);
      note(`late answers on all ways of ${victim.name}, and then none`);
      for (const link of links) link.extraDownMs = (0.05 + 0.3 * fault.draws[1]) * world.ttlMs;
      yield fault.forMs;
      for (const link of links) {
        link.extraDownMs = 0;
        link.block('up', 'down');
      }
      yield (1.2 + fault.draws[2]) * world.ttlMs;
      for (const link of links) link.unblock('up', 'down');
    },
  },
  reset: linkFault('reset', 3, (link) => link.reset()),
  'half-open': linkFault('half-open', 3, (link) => link.halfOpen()),
  refuse: linkFault(
    'refuse',
    2,
    (link) => {
      link.isRefusing = true;
      link.reset();
    },
    (link) => {
      link.isRefusing = false;
    },
  ),
  'lose-answers': linkFault(
    'lose answers on',
    4,
    (link, { fault }) => {
      link.answersToLose = 1 + Math.floor(fault.draws[2] * 3);
    },
    (link) => {
      link.answersToLose = 0;
    },
  ),
  http: linkFault(
    'a gateway answers on',
    2,
    (link, { fault }) => {
      link.httpStatus = choose(HTTP_STATUSES, fault.draws[2]);
      link.breakCalls();
    },
    (link) => {
      link.httpStatus = 0;
    },
  ),
  'foreign-cluster': {
    place: 'network',
    weight: 2,
    *run({ world, victim, fault, note }) {
      const link = choose(world.network.linksOf(victim.name), fault.draws[2]);
      const { endpoint } = link;
      note(`${link.address} leads ${victim.name} to another etcd`);
      link.endpoint = world.foreignEndpoint;
      link.reset();
      yield fault.forMs;
      link.endpoint = endpoint;
      link.reset();
    },
  },
};
