/**
 * A small world for the pure core: a lease server, three replicas with clocks of their own, and a network between
 * them. States, deadlines and the queue are the real src/core. What src/ does around it (calls, their repetition, what is
 * given up when) is told again here, as small as it goes, and so are the rules that can be broken.
 *
 * A world is a value. `choices` says what can happen next, `take` makes the world after it; whoever chooses decides
 * whether that is every way or a random one (model.test). Messages are prompt unless a fault holds them, so
 * that time passes only when nothing else is due.
 */
import {
  begin,
  next,
  type CampaignState,
  type Candidacy,
  type EndCause,
  type Outcome,
} from '../../../src/core/campaign-state.ts';
import { renewEveryMs, validUntilMs, type LeaseProof } from '../../../src/core/deadline.ts';
import { CandidateQueue, type Candidate, type QueueEvent } from '../../../src/core/candidate-queue.ts';

const TICK_MS = 500;
/** How long an unanswered call is waited for, in ticks. */
const CALL_TICKS = 2;

/** The rules under test; each can be broken, to see that the model finds it. */
export interface Rules {
  /** Of the lease, in milliseconds. Clocks here may lose one tick in each TTL. */
  readonly marginMs: number;
  readonly countFrom: 'send' | 'reply';
  readonly looksAtOwnKey: boolean;
  readonly releases: 'after the work' | 'before it';
  /** Whether a key whose release is still under way may lead once more. */
  readonly takesSpentKeys: boolean;
  /** How finely time is cut: ticks in one TTL. */
  readonly ttlTicks: number;
}

export const ours: Rules = {
  marginMs: TICK_MS,
  countFrom: 'send',
  looksAtOwnKey: true,
  releases: 'after the work',
  takesSpentKeys: false,
  ttlTicks: 4,
};

const ttlSeconds = ({ ttlTicks }: Rules): number => (ttlTicks * TICK_MS) / 1000;

export type Fault = 'pause' | 'hold-up' | 'hold-down' | 'lose' | 'crash' | 'delete-waiting' | 'step-down';

interface Call {
  readonly kind: 'grant' | 'renew' | 'enter' | 'release';
  readonly from: number;
  /** Number of the call, so that an answer finds the call that waits for it, or nobody. */
  readonly id: number;
  readonly leaseId: number;
  readonly sentAtMs: number;
  /** Creation revision of the key to release. */
  readonly revision?: number;
}

interface Reply {
  readonly call: Call;
  readonly ok: boolean;
  readonly revision: number;
  readonly candidates: readonly Candidate[];
}

interface Replica {
  readonly campaign: CampaignState;
  readonly clockMs: number;
  readonly leaseId: number;
  readonly proof: LeaseProof | undefined;
  /** Calls that are waited for: one about the lease, one about the queue; 0 for none. */
  readonly leaseCall: number;
  readonly queueCall: number;
  readonly queueCallAtMs: number;
  readonly roster: readonly Candidate[];
  /** Token of the last candidacy that was given up: where its release is still under way, its key still stands. */
  readonly spent: number;
  /** Up to which revision the watch has told. */
  readonly toldUpTo: number;
  /** Whether the work of its last term still runs. */
  readonly works: boolean;
  readonly paused: boolean;
  readonly heldUp: boolean;
  readonly heldDown: boolean;
}

export interface World {
  readonly tick: number;
  readonly revision: number;
  readonly keys: readonly Candidate[];
  readonly leases: readonly { readonly id: number; readonly expiresAtTick: number }[];
  readonly events: readonly { readonly revision: number; readonly event: QueueEvent }[];
  readonly replicas: readonly Replica[];
  readonly calls: readonly Call[];
  readonly replies: readonly Reply[];
  readonly faultsLeft: number;
  readonly nextId: number;
  /** Largest token that ever led. */
  readonly ledBy: number;
  /** What must not be; empty while all is well. */
  readonly broken: string;
}

/** How the world's clock reads for a replica: the first one's is slow, and loses one tick in each TTL. */
const reads = (replica: number, tick: number, { ttlTicks }: Rules): number =>
  (replica === 0 ? tick - Math.floor(tick / ttlTicks) : tick) * TICK_MS;

const keyOf = (leaseId: number): string => `election/${leaseId}`;

const replicaAtStart: Replica = {
  campaign: begin(),
  clockMs: 0,
  leaseId: 0,
  proof: undefined,
  leaseCall: 0,
  queueCall: 0,
  queueCallAtMs: 0,
  roster: [],
  spent: 0,
  toldUpTo: 0,
  works: false,
  paused: false,
  heldUp: false,
  heldDown: false,
};

/** Everybody has just started. */
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

/** Everybody stands in the queue, in order, and the first leads. */
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
 * What can happen next. Whom the watch tells first, what runs out, wakes up or breaks, goes in every order. Calls and answers
 * do too; or, where that would be too many worlds, one after the other, and a fault may hit whoever's turn it is.
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
      // Taking the key of one who leads is S4: the next learns of it when he does.
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

/** What etcd does with a call. */
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

function answered(world: World, reply: Reply, rules: Rules): World {
  const { call: asked, ok, revision, candidates } = reply;
  const index = asked.from;
  const replica = world.replicas[index]!;
  if (asked.kind === 'release') return world;
  if (asked.kind === 'grant' || asked.kind === 'renew') {
    if (replica.leaseCall !== asked.id) return world; // of a stream given up long ago
    if (asked.kind === 'renew' && !isValid(replica, rules)) return lose(world, index, 'deadline-passed');
    if (!ok) return lose(world, index, 'lease-lost');
    const sentAtMs = rules.countFrom === 'send' ? asked.sentAtMs : replica.clockMs;
    return change(world, index, { leaseCall: 0, proof: { sentAtMs, grantedTtlSeconds: ttlSeconds(rules) } });
  }
  if (replica.queueCall !== asked.id || replica.campaign.name !== 'entering') return world;
  const free = change(world, index, { queueCall: 0 });
  const own = candidates.find(({ key }) => key === keyOf(asked.leaseId));
  if (!ok || own === undefined) return lose(free, index, 'lease-lost');
  if (Number(own.fencingToken) <= replica.spent && !rules.takesSpentKeys) {
    const failed = change(free, index, { campaign: next(replica.campaign, { type: 'failed' }) });
    return call(failed, index, 'release', replica.spent);
  }
  const candidacy: Candidacy = {
    key: own.key,
    leaseId: own.leaseId,
    createRevision: own.fencingToken,
  };
  return change(free, index, {
    roster: candidates,
    toldUpTo: revision,
    campaign: next(replica.campaign, { type: 'entered', candidacy }),
  });
}

const isValid = ({ proof, clockMs }: Replica, { marginMs }: Rules): boolean =>
  proof !== undefined && clockMs < validUntilMs(proof, marginMs);

/** The session is over; a campaign that hangs on it ends its wait or its term. */
function lose(world: World, index: number, reason: 'deadline-passed' | 'lease-lost'): World {
  const { campaign } = world.replicas[index]!;
  const ended = change(world, index, { proof: undefined, leaseId: 0, leaseCall: 0, queueCall: 0 });
  if (campaign.name === 'waiting' || campaign.name === 'leading')
    return end(ended, index, { type: 'lost', reason });
  if (campaign.name === 'entering')
    return change(ended, index, { campaign: next(campaign, { type: 'failed' }) });
  return ended;
}

const end = (world: World, index: number, outcome: Outcome): World =>
  change(world, index, { campaign: next(world.replicas[index]!.campaign, outcome) });

/** One turn of a replica's event loop: everything that its timers and its state ask for now. */
function act(before: World, index: number, rules: Rules): World {
  let world = before;
  const me = (): Replica => world.replicas[index]!;
  if (me().paused) return world;
  if (me().proof !== undefined && !isValid(me(), rules)) world = lose(world, index, 'deadline-passed');
  for (;;) {
    const { campaign } = me();
    const after = step(world, index, rules);
    world = after;
    if (me().campaign === campaign) break;
  }
  return renewing(world, index, rules);
}

function step(world: World, index: number, rules: Rules): World {
  const me = world.replicas[index]!;
  const { campaign } = me;
  switch (campaign.name) {
    case 'settling': // not for longer than the work that is over by then
      return end(world, index, { type: 'settled' });
    case 'held':
      return end(world, index, { type: 'released' });
    case 'entering': {
      if (me.proof === undefined) return me.leaseCall === 0 ? granting(world, index) : world;
      if (me.queueCall === 0) return call(world, index, 'enter');
      // The answer may have been lost: ask again. Our key, if it is there, will be found.
      return me.clockMs - me.queueCallAtMs >= CALL_TICKS * TICK_MS
        ? end(change(world, index, { queueCall: 0 }), index, { type: 'failed' })
        : world;
    }
    case 'waiting': {
      if (!stands(me, campaign.candidacy, rules))
        return end(world, index, { type: 'lost', reason: 'evicted' });
      const { createRevision } = campaign.candidacy;
      const others = me.roster.filter(({ key }) => key !== campaign.candidacy.key);
      if (new CandidateQueue(others).olderThan(campaign.candidacy) > 0) return world;
      const elected = end(change(world, index, { works: true }), index, { type: 'elected' });
      const token = Number(createRevision);
      const broken = token > world.ledBy ? world.broken : `token ${token} led after ${world.ledBy}`;
      return { ...elected, ledBy: Math.max(token, world.ledBy), broken };
    }
    case 'leading':
      return stands(me, campaign.candidacy, rules)
        ? world
        : end(world, index, { type: 'lost', reason: 'evicted' });
    case 'leaving': {
      const mayRelease = me.proof !== undefined && campaign.reason !== 'evicted';
      if (me.works && rules.releases === 'before it' && mayRelease && me.queueCall === 0)
        return call(world, index, 'release', Number(campaign.candidacy!.createRevision));
      if (me.works) return world;
      const released =
        mayRelease && me.queueCall === 0
          ? call(world, index, 'release', Number(campaign.candidacy!.createRevision))
          : world;
      const spent = Number(campaign.candidacy?.createRevision ?? me.spent);
      return end(change(released, index, { queueCall: 0, roster: [], spent }), index, { type: 'left' });
    }
    case 'ended':
      return world;
  }
}

const stands = ({ roster }: Replica, { key, createRevision }: Candidacy, { looksAtOwnKey }: Rules): boolean =>
  !looksAtOwnKey || new CandidateQueue(roster).get(key)?.fencingToken === createRevision;

function granting(world: World, index: number): World {
  const leaseId = world.nextId;
  return call({ ...change(world, index, { leaseId }), nextId: leaseId + 1 }, index, 'grant');
}

/** Renews each third of the TTL; a renewal without an answer is followed by another, on another stream. */
function renewing(world: World, index: number, rules: Rules): World {
  const me = world.replicas[index]!;
  if (me.proof === undefined) {
    const asked = [...world.calls, ...world.replies.map((reply) => reply.call)].find(
      ({ id }) => id === me.leaseCall,
    );
    const isLost = me.leaseCall !== 0 && asked === undefined;
    // A grant whose answer was lost is asked for again.
    return isLost && me.campaign.name === 'entering' ? granting(world, index) : world;
  }
  return me.clockMs - me.proof.sentAtMs >= renewEveryMs(ttlSeconds(rules)) ? renewOnce(world, index) : world;
}

function renewOnce(world: World, index: number): World {
  const me = world.replicas[index]!;
  const unanswered = [...world.calls, ...world.replies.map((reply) => reply.call)].find(
    ({ id }) => id === me.leaseCall,
  );
  return unanswered !== undefined && me.clockMs - unanswered.sentAtMs < CALL_TICKS * TICK_MS
    ? world
    : call(world, index, 'renew');
}

function call(world: World, index: number, kind: Call['kind'], revision?: number): World {
  const { leaseId, clockMs } = world.replicas[index]!;
  const id = world.nextId;
  const made: Call = {
    kind,
    from: index,
    id,
    leaseId,
    sentAtMs: clockMs,
    ...(revision !== undefined && { revision }),
  };
  const waiting =
    kind === 'grant' || kind === 'renew' ? { leaseCall: id } : { queueCall: id, queueCallAtMs: clockMs };
  return change({ ...world, calls: [...world.calls, made], nextId: id + 1 }, index, waiting);
}

const change = (world: World, index: number, by: Partial<Replica>): World => ({
  ...world,
  replicas: world.replicas.map((replica, at) => (at === index ? { ...replica, ...by } : replica)),
});

/** Whose doings the others must keep clear of: it leads, or its work still stops while it holds the seat. */
const isBusy = (replica: Replica, rules: Rules): boolean =>
  !replica.paused &&
  isValid(replica, rules) &&
  (replica.campaign.name === 'leading' ||
    (replica.campaign.name === 'leaving' && replica.works && isOrderly(replica.campaign.reason)));

const isOrderly = (reason: EndCause): boolean => reason === 'stepped-down';

function judged(world: World, rules: Rules): World {
  const busy = world.replicas.flatMap((replica, index) => (isBusy(replica, rules) ? [index] : []));
  return busy.length < 2 || world.broken !== ''
    ? world
    : { ...world, broken: `replicas ${busy.join(' and ')} lead at tick ${world.tick}` };
}

/**
 * The same string for worlds that cannot be told apart from now on: what counts of revisions, leases and calls is
 * their order, and old events are told no more.
 */
export function fingerprint(world: World): string {
  const { replicas, keys, leases, events, calls, replies } = world;
  const isIn = ({ campaign }: Replica): boolean => 'candidacy' in campaign;
  const seen = Math.min(...replicas.map((replica) => (isIn(replica) ? replica.toldUpTo : Infinity)));
  const candidates = (some: readonly Candidate[]): unknown =>
    some.map(({ fencingToken }) => Number(fencingToken));
  const flat = [
    world.tick,
    world.faultsLeft,
    [world.revision, world.ledBy],
    candidates(keys),
    leases.map(({ id, expiresAtTick }) => [expiresAtTick, `i${id}`]),
    events
      .filter(({ revision }) => revision > seen)
      .map(({ revision, event }) => [revision, event.type === 'put' ? event.candidate.key : `-${event.key}`]),
    calls.map(({ kind, from, id, leaseId, sentAtMs }) => [kind, from, `i${id}`, `i${leaseId}`, sentAtMs]),
    replies.map(({ call, ok, revision, candidates: read }) => [
      [call.kind, `i${call.id}`, call.sentAtMs, ok, revision],
      candidates(read),
    ]),
    replicas.map((replica) => [
      replica.campaign.name,
      'reason' in replica.campaign && replica.campaign.reason,
      replica.proof?.sentAtMs,
      `i${replica.leaseId}`,
      `i${replica.leaseCall}`,
      replica.queueCall > 0 && [`i${replica.queueCall}`, replica.queueCallAtMs],
      isIn(replica) && [candidates(replica.roster), replica.toldUpTo],
      replica.spent,
      [replica.works, replica.paused, replica.heldUp, replica.heldDown].map(Number),
    ]),
  ];
  // Call and lease numbers by rank: which came first is all that they say.
  const text = JSON.stringify(flat);
  const ranks = new Map<string, number>();
  return text.replace(/i\d+|election\/\d+/g, (name) => {
    const number = name.slice(name.startsWith('i') ? 1 : 9);
    if (!ranks.has(number)) ranks.set(number, ranks.size);
    return `${ranks.get(number)}`;
  });
}
