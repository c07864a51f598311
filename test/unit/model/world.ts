/** The state of the model: a world is a value. It has leases, keys, replicas, and messages in flight. */
import { begin, type CampaignState } from '../../../src/core/campaign-state.ts';
import { type LeaseProof } from '../../../src/core/deadline.ts';
import { type QueuedCandidate, type QueueEvent } from '../../../src/core/candidate-queue.ts';

export const TICK_MS = 500;

/** How long an unanswered call may take, in ticks. */
export const CALL_TICKS = 2;

/** The rules under test. Each can be broken, to check that the model finds it. */
export interface Rules {
  /** The margin of the lease, in milliseconds. Clocks here may lose one tick in each TTL. */
  readonly marginMs: number;
  readonly countFrom: 'send' | 'reply';
  readonly looksAtOwnKey: boolean;
  readonly releases: 'after the work' | 'before it';
  /** Whether a key whose release is in flight may lead once more. */
  readonly takesSpentKeys: boolean;
  /** The resolution of time: ticks in one TTL. */
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

export const ttlSeconds = ({ ttlTicks }: Rules): number => (ttlTicks * TICK_MS) / 1000;

export type Fault = 'pause' | 'hold-up' | 'hold-down' | 'lose' | 'crash' | 'delete-waiting' | 'step-down';

export interface Call {
  readonly kind: 'grant' | 'renew' | 'enter' | 'release';
  readonly from: number;
  /** Number of the call, which assigns an answer to the waiting call, if there is one. */
  readonly id: number;
  readonly leaseId: number;
  readonly sentAtMs: number;
  /** Creation revision of the key to release. */
  readonly revision?: number;
}

export interface Reply {
  readonly call: Call;
  readonly ok: boolean;
  readonly revision: number;
  readonly candidates: readonly QueuedCandidate[];
}

export interface Replica {
  readonly campaign: CampaignState;
  readonly clockMs: number;
  readonly leaseId: number;
  readonly proof: LeaseProof | undefined;
  /** Calls in flight: one about the lease, one about the queue; 0 for none. */
  readonly leaseCall: number;
  readonly queueCall: number;
  readonly queueCallAtMs: number;
  readonly roster: readonly QueuedCandidate[];
  /** Token of the last candidacy that was given up. Its key still exists while its release is in flight. */
  readonly spent: number;
  /** The last revision that the watch has reported. */
  readonly toldUpTo: number;
  /** Whether the work of its last term is still running. */
  readonly works: boolean;
  readonly paused: boolean;
  readonly heldUp: boolean;
  readonly heldDown: boolean;
}

export interface World {
  readonly tick: number;
  readonly revision: number;
  readonly keys: readonly QueuedCandidate[];
  readonly leases: readonly { readonly id: number; readonly expiresAtTick: number }[];
  readonly events: readonly { readonly revision: number; readonly event: QueueEvent }[];
  readonly replicas: readonly Replica[];
  readonly calls: readonly Call[];
  readonly replies: readonly Reply[];
  readonly faultsLeft: number;
  readonly nextId: number;
  /** Largest token that ever led. */
  readonly ledBy: number;
  /** The violation; empty if there is none. */
  readonly broken: string;
}

/** A replica's reading of the world's clock. The clock of the first one is slow, and loses one tick in each TTL. */
export const reads = (replica: number, tick: number, { ttlTicks }: Rules): number =>
  (replica === 0 ? tick - Math.floor(tick / ttlTicks) : tick) * TICK_MS;

export const keyOf = (leaseId: number): string => `election/${leaseId}`;

export const replicaAtStart: Replica = {
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

export const change = (world: World, index: number, by: Partial<Replica>): World => ({
  ...world,
  replicas: world.replicas.map((replica, at) => (at === index ? { ...replica, ...by } : replica)),
});

/**
 * The same string for worlds with the same future. Only the order of revisions, leases and calls counts, and
 * reported events are left out.
 */
export function fingerprint(world: World): string {
  const { replicas, keys, leases, events, calls, replies } = world;
  const isIn = ({ campaign }: Replica): boolean => 'candidacy' in campaign;
  const seen = Math.min(...replicas.map((replica) => (isIn(replica) ? replica.toldUpTo : Infinity)));
  const candidates = (some: readonly QueuedCandidate[]): unknown =>
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
  // Call and lease numbers are replaced by their ranks, because only their order counts.
  const text = JSON.stringify(flat);
  const ranks = new Map<string, number>();
  return text.replace(/i\d+|election\/\d+/g, (name) => {
    const number = name.slice(name.startsWith('i') ? 1 : 9);
    if (!ranks.has(number)) ranks.set(number, ranks.size);
    return `${ranks.get(number)}`;
  });
}
