/** One replica of the model: what its timers, its state and its answers make it do. */
import { next, type Candidacy, type EndCause, type Outcome } from '../../../src/core/campaign-state.ts';
import { renewEveryMs, validUntilMs } from '../../../src/core/deadline.ts';
import { CandidateQueue } from '../../../src/core/candidate-queue.ts';
import {
  type Call,
  CALL_TICKS,
  change,
  keyOf,
  type Replica,
  type Reply,
  type Rules,
  TICK_MS,
  ttlSeconds,
  type World,
} from './world.ts';

export function answered(world: World, reply: Reply, rules: Rules): World {
  const { call: asked, ok, revision, candidates } = reply;
  const index = asked.from;
  const replica = world.replicas[index]!;
  if (asked.kind === 'release') return world;
  if (asked.kind === 'grant' || asked.kind === 'renew') {
    if (replica.leaseCall !== asked.id) return world; // from a stream that was closed long ago
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

/** The session is lost; a campaign on it ends its wait or its term. */
function lose(world: World, index: number, reason: 'deadline-passed' | 'lease-lost'): World {
  const { campaign } = world.replicas[index]!;
  const ended = change(world, index, { proof: undefined, leaseId: 0, leaseCall: 0, queueCall: 0 });
  if (campaign.name === 'waiting' || campaign.name === 'leading')
    return end(ended, index, { type: 'lost', reason });
  if (campaign.name === 'entering')
    return change(ended, index, { campaign: next(campaign, { type: 'failed' }) });
  return ended;
}

export const end = (world: World, index: number, outcome: Outcome): World =>
  change(world, index, { campaign: next(world.replicas[index]!.campaign, outcome) });

/** One turn of a replica's event loop: everything that its timers and its state require now. */
export function act(before: World, index: number, rules: Rules): World {
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
    case 'settling': // no longer than the work, which has ended by then
      return end(world, index, { type: 'settled' });
    case 'held':
      return end(world, index, { type: 'released' });
    case 'entering': {
      if (me.proof === undefined) return me.leaseCall === 0 ? granting(world, index) : world;
      if (me.queueCall === 0) return call(world, index, 'enter');
      // The answer may be lost: ask again, and find our key if it exists.
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

/** Renews every third of the TTL. An unanswered renewal is followed by another one on another stream. */
function renewing(world: World, index: number, rules: Rules): World {
  const me = world.replicas[index]!;
  if (me.proof === undefined) {
    const asked = [...world.calls, ...world.replies.map((reply) => reply.call)].find(
      ({ id }) => id === me.leaseCall,
    );
    const isLost = me.leaseCall !== 0 && asked === undefined;
    // A grant whose answer was lost is requested again.
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

/** Whether the others must stay inactive: it leads, or its work is still stopping under its key. */
const isBusy = (replica: Replica, rules: Rules): boolean =>
  !replica.paused &&
  isValid(replica, rules) &&
  (replica.campaign.name === 'leading' ||
    (replica.campaign.name === 'leaving' && replica.works && isOrderly(replica.campaign.reason)));

const isOrderly = (reason: EndCause): boolean => reason === 'stepped-down';

export function judged(world: World, rules: Rules): World {
  const busy = world.replicas.flatMap((replica, index) => (isBusy(replica, rules) ? [index] : []));
  return busy.length < 2 || world.broken !== ''
    ? world
    : { ...world, broken: `replicas ${busy.join(' and ')} lead at tick ${world.tick}` };
}
