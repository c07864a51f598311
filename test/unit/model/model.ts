/**
 * A small world for the pure core: a lease server, three replicas with their own clocks, and a network between
 * them. States, deadlines and the queue are the real src/core. The model repeats in small form what src/ does
 * around it: calls, their repetition, and their limits. It also repeats the rules that can be broken. A world is
 * a value. `choices` lists the possible next events, and `take` makes the next world. The caller explores every
 * path or a random one (model.test). Messages are prompt unless a fault delays them, so time passes only when
 * nothing else is due.
 */
import { CandidateQueue } from '../../../src/core/candidate-queue.ts';
import {
  type Call,
  change,
  type Fault,
  keyOf,
  reads,
  type Replica,
  replicaAtStart,
  type Rules,
  type World,
} from './world.ts';
import { act, answered, end, judged } from './replica.ts';

/** All replicas have just started. */
export function emptyWorld(faults: number, rules: Rules, replicas = 3): World {
  let world: World = {
    tick: 0,
    revision: 1,
    keys: [],
    leases: [],
    events: [],
    replicas: Array.from({ length: replicas }, () => replicaAtStart),
    calls: [],
    replies: [],
    faultsLeft: faults,
    nextId: 1,
    ledBy: 0,
    broken: '',
  };
  for (let index = 0; index < replicas; index++) world = act(world, index, rules);
  return world;
}

/** All replicas are in the queue, in order, and the first one leads. */
export function queuedWorld(faults: number, rules: Rules, replicas = 3): World {
  let world = emptyWorld(0, rules, replicas);
  const settled = (): boolean => world.replicas.every(({ campaign }) => 'candidacy' in campaign);
  while (!settled())
    world = take(
      world,
      choices(world, [], 'in one order').find(({ to }) => to !== 'tick')!,
      rules,
    );
  return { ...world, faultsLeft: faults };
}

export type Choice =
  | { readonly to: 'tick' }
  | { readonly to: 'serve' | 'answer'; readonly id: number }
  | { readonly to: 'tell' | 'wake' | 'let-up' | 'let-down' | 'stop-work'; readonly replica: number }
  | { readonly to: 'expire'; readonly leaseId: number }
  | { readonly to: Fault; readonly replica: number };

/**
 * The possible next events. Watch messages, expiries, resumptions and faults happen in every order. Calls and
 * answers do too. If that gives too many worlds, they happen one after another, and a fault may hit the replica
 * whose turn it is.
 */
export function choices(
  world: World,
  faults: readonly Fault[],
  calls: 'in every order' | 'in one order',
): Choice[] {
  const { replicas } = world;
  const hits = (index: number): Choice[] =>
    world.faultsLeft === 0
      ? []
      : faults.flatMap((to) => (canHit(world, to, replicas[index]!) ? [{ to, replica: index }] : []));
  const expired = world.leases
    .filter(({ expiresAtTick }) => expiresAtTick <= world.tick)
    .map(({ id }) => ({ to: 'expire', leaseId: id }) as const);
  const told = replicas.flatMap((replica, index) =>
    isTold(world, replica) ? [{ to: 'tell', replica: index } as const] : [],
  );
  const sent = world.calls.filter(({ from }) => !replicas[from]!.heldUp);
  const answers = world.replies.filter(
    ({ call: { from } }) => !replicas[from]!.heldDown && !replicas[from]!.paused,
  );
  const moving: readonly (Choice & { readonly of: number })[] = [
    ...sent.map(({ id, from }) => ({ to: 'serve', id, of: from }) as const),
    ...answers.map(({ call: { id, from } }) => ({ to: 'answer', id, of: from }) as const),
  ];
  const [first] = moving;
  if (first !== undefined && calls === 'in one order') return [first, ...hits(first.of)];
  const harm = replicas.flatMap((_, index) => hits(index));
  if (first !== undefined) return [...moving, ...told, ...expired, ...harm];
  if (told.length > 0) return [...told, ...expired, ...told.flatMap(({ replica }) => hits(replica))];
  const later: Choice[] = replicas.flatMap((replica, index) => [
    ...(replica.paused ? [{ to: 'wake', replica: index } as const] : []),
    ...(replica.heldUp ? [{ to: 'let-up', replica: index } as const] : []),
    ...(replica.heldDown ? [{ to: 'let-down', replica: index } as const] : []),
    ...(replica.works && replica.campaign.name === 'leaving' && !replica.paused
      ? [{ to: 'stop-work', replica: index } as const]
      : []),
  ]);
  return [...later, ...expired, ...harm, { to: 'tick' }];
}

const isTold = (world: World, replica: Replica): boolean =>
  'candidacy' in replica.campaign &&
  !replica.heldDown &&
  !replica.paused &&
  world.events.some(({ revision }) => revision > replica.toldUpTo);

function canHit(world: World, fault: Fault, replica: Replica): boolean {
  switch (fault) {
    case 'pause':
      return !replica.paused;
    case 'hold-up':
      return !replica.heldUp;
    case 'hold-down':
      return !replica.heldDown;
    case 'lose':
      return world.replies.some(({ call: { from } }) => world.replicas[from] === replica);
    case 'crash':
      return replica.campaign.name !== 'held';
    case 'delete-waiting':
      // The deletion of the leader's key is S4: the next candidate and the leader learn of it at the same time.
      return (
        replica.campaign.name === 'waiting' &&
        world.keys.findIndex(({ key }) => key === keyOf(replica.leaseId)) > 0
      );
    case 'step-down':
      return replica.campaign.name === 'leading' && !replica.paused;
  }
}

export function take(world: World, choice: Choice, rules: Rules): World {
  return judged(happened(world, choice, rules), rules);
}

function happened(world: World, choice: Choice, rules: Rules): World {
  switch (choice.to) {
    case 'tick': {
      const tick = world.tick + 1;
      const replicas = world.replicas.map((replica, index) => ({
        ...replica,
        clockMs: reads(index, tick, rules),
      }));
      let after: World = { ...world, tick, replicas };
      for (const index of replicas.keys()) after = act(after, index, rules);
      return after;
    }
    case 'serve': {
      const call = world.calls.find(({ id }) => id === choice.id)!;
      return served({ ...world, calls: world.calls.filter((other) => other !== call) }, call, rules);
    }
    case 'answer': {
      const reply = world.replies.find(({ call: { id } }) => id === choice.id)!;
      const rest = { ...world, replies: world.replies.filter((other) => other !== reply) };
      return act(answered(rest, reply, rules), reply.call.from, rules);
    }
    case 'tell': {
      const replica = world.replicas[choice.replica]!;
      const { revision, event } = world.events.find((one) => one.revision > replica.toldUpTo)!;
      const roster = new CandidateQueue(replica.roster);
      roster.apply(event);
      const told = { toldUpTo: revision, roster: [...roster.candidates] };
      return act(change(world, choice.replica, told), choice.replica, rules);
    }
    case 'wake':
      return act(change(world, choice.replica, { paused: false }), choice.replica, rules);
    case 'let-up':
      return change(world, choice.replica, { heldUp: false });
    case 'let-down':
      return change(world, choice.replica, { heldDown: false });
    case 'stop-work':
      return act(change(world, choice.replica, { works: false }), choice.replica, rules);
    case 'expire':
      return withoutLease(world, choice.leaseId);
    case 'pause':
    case 'hold-up':
    case 'hold-down':
    case 'lose':
    case 'crash':
    case 'delete-waiting':
    case 'step-down':
      return harmed({ ...world, faultsLeft: world.faultsLeft - 1 }, choice.to, choice.replica, rules);
  }
}

function harmed(world: World, fault: Fault, index: number, rules: Rules): World {
  const replica = world.replicas[index]!;
  switch (fault) {
    case 'pause':
      return change(world, index, { paused: true });
    case 'hold-up':
      return change(world, index, { heldUp: true });
    case 'hold-down':
      return change(world, index, { heldDown: true });
    case 'lose':
      return { ...world, replies: world.replies.filter(({ call }) => call.from !== index) };
    case 'crash': {
      const fresh = {
        ...replicaAtStart,
        clockMs: replica.clockMs,
        heldUp: replica.heldUp,
        heldDown: replica.heldDown,
      };
      return act(change(world, index, fresh), index, rules);
    }
    case 'delete-waiting':
      return withoutKey(world, keyOf(replica.leaseId));
    case 'step-down':
      return act(end(world, index, { type: 'lost', reason: 'stepped-down' }), index, rules);
  }
}

/** The effect of a call on etcd. */
function served(world: World, call: Call, { ttlTicks }: Rules): World {
  const reply = (after: World, ok: boolean): World => ({
    ...after,
    replies: [...after.replies, { call, ok, revision: after.revision, candidates: after.keys }],
  });
  const lease = world.leases.find(({ id }) => id === call.leaseId);
  const renewed = { id: call.leaseId, expiresAtTick: world.tick + ttlTicks };
  const key = keyOf(call.leaseId);
  switch (call.kind) {
    case 'grant':
      return reply({ ...world, leases: [...world.leases, renewed] }, true);
    case 'renew': {
      const leases = world.leases.map((one) => (one === lease ? renewed : one));
      return reply({ ...world, leases }, lease !== undefined);
    }
    case 'enter': {
      if (lease === undefined) return reply(world, false);
      if (world.keys.some((one) => one.key === key)) return reply(world, true);
      const revision = world.revision + 1;
      const candidate = { key, value: '', fencingToken: BigInt(revision), leaseId: String(call.leaseId) };
      const events = [...world.events, { revision, event: { type: 'put', candidate } as const }];
      return reply({ ...world, revision, events, keys: [...world.keys, candidate] }, true);
    }
    case 'release': {
      const ours = world.keys.some((one) => one.key === key && one.fencingToken === BigInt(call.revision!));
      return reply(ours ? withoutKey(world, key) : world, true);
    }
  }
}

function withoutKey(world: World, key: string): World {
  if (!world.keys.some((one) => one.key === key)) return world;
  const revision = world.revision + 1;
  return {
    ...world,
    revision,
    keys: world.keys.filter((one) => one.key !== key),
    events: [...world.events, { revision, event: { type: 'delete', key } }],
  };
}

const withoutLease = (world: World, leaseId: number): World =>
  withoutKey({ ...world, leases: world.leases.filter(({ id }) => id !== leaseId) }, keyOf(leaseId));
