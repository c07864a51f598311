/**
 * The one list of what can happen. Logs, metrics, traces and subscribers are all made from it, so they cannot
 * disagree. Tokens and lease IDs are strings: JSON has no bigint, and a number would lose digits.
 */
import { channel } from 'node:diagnostics_channel';
import type { EndCause, StopCause } from './core/campaign-state.ts';
import { errorText } from './core/shown.ts';
import { ElectionError } from './errors.ts';

/** A callback of the options, or what was registered with a term by `run()`, `every()` or `onEnd()`. */
export type CallbackName = 'onLeader' | 'onFollower' | 'onLeaderChange' | 'run' | 'every' | 'onEnd';

export type ElectionEvent =
  | { readonly type: 'options.unusual'; readonly election: string; readonly reason: string }
  | {
      readonly type: 'session.opened';
      readonly leaseId: string;
      readonly askedTtlSeconds: number;
      readonly grantedTtlSeconds: number;
    }
  | {
      readonly type: 'session.renewed';
      readonly leaseId: string;
      readonly roundTripMs: number;
      readonly headroomMs: number;
    }
  | {
      readonly type: 'session.faltered';
      readonly leaseId: string;
      readonly reason: string;
      readonly leftMs: number;
    }
  | { readonly type: 'session.recovered'; readonly leaseId: string; readonly leftMs: number }
  | {
      readonly type: 'session.lost';
      readonly leaseId: string;
      readonly reason: 'deadline-passed' | 'lease-lost' | 'refused';
    }
  | {
      readonly type: 'session.unavailable';
      readonly reason: string;
      readonly endpoints: readonly string[];
      /** For how long no lease was to be had, in milliseconds. */
      readonly forMs: number;
    }
  | { readonly type: 'session.available'; readonly afterMs: number }
  /** The loop guard delays the next lease of a client, whose last ones did not last. */
  | { readonly type: 'session.held'; readonly holdMs: number }
  | { readonly type: 'session.closed'; readonly leaseId: string }
  | { readonly type: 'host.away'; readonly host: string; readonly reason: string }
  | { readonly type: 'host.back'; readonly host: string; readonly afterMs: number }
  | {
      readonly type: 'host.foreign';
      readonly host: string;
      readonly clusterId: string;
      /** Undefined if the hosts disagree and no cluster has the majority of them. */
      readonly ourClusterId: string | undefined;
    }
  | { readonly type: 'cluster.changed'; readonly fromClusterId: string; readonly toClusterId: string }
  | { readonly type: 'last-will.lost'; readonly reason: string }
  | {
      readonly type: 'etcd.history-lost';
      readonly fromRevision: string;
      readonly toRevision: string;
    }
  | { readonly type: 'watch.lost'; readonly reason: string }
  | { readonly type: 'watch.healed'; readonly afterMs: number }
  | { readonly type: 'watch.unconfirmed'; readonly silentMs: number }
  | { readonly type: 'etcd.proxied'; readonly ttlSeconds: number; readonly isSupported: boolean }
  | {
      readonly type: 'candidate.entered';
      readonly election: string;
      readonly key: string;
      readonly fencingToken: string;
      readonly position: number;
    }
  | { readonly type: 'candidate.failed'; readonly election: string; readonly reason: string }
  | {
      readonly type: 'candidate.refused';
      readonly election: string;
      readonly reason: string;
      /** For how long etcd has refused us, in milliseconds. */
      readonly forMs: number;
    }
  | {
      readonly type: 'candidate.lost';
      readonly election: string;
      readonly fencingToken: string;
      readonly reason: EndCause;
    }
  | {
      readonly type: 'leader.changed';
      readonly election: string;
      readonly fencingToken: string | undefined;
      readonly value: string | undefined;
    }
  | {
      readonly type: 'term.started';
      readonly election: string;
      readonly fencingToken: string;
      readonly value: string;
      readonly leaseId: string;
      /** ID of the etcd cluster, in decimal: two clusters have one leader each. Undefined if etcd's answers carry none. */
      readonly clusterId: string | undefined;
    }
  | {
      readonly type: 'term.ended';
      readonly election: string;
      readonly fencingToken: string;
      readonly reason: EndCause;
      readonly ledMs: number;
    }
  | {
      readonly type: 'term.released';
      readonly election: string;
      readonly fencingToken: string;
      /** From the end of the term until its key was given up: nobody could lead meanwhile. */
      readonly afterMs: number;
    }
  | {
      readonly type: 'drain.overdue';
      readonly election: string;
      readonly fencingToken: string;
      readonly afterMs: number;
      /** What has not settled: callbacks of the options, and what was registered with the term. */
      readonly callbacks: readonly CallbackName[];
    }
  | {
      readonly type: 'campaign.refused';
      readonly election: string;
      readonly error: unknown;
    }
  | {
      readonly type: 'candidate.waiting';
      readonly election: string;
      readonly position: number;
      /** What the leader announces; undefined if none is known. */
      readonly leader: string | undefined;
      readonly waitedMs: number;
    }
  | {
      readonly type: 'term.stale';
      readonly election: string;
      /** Of the term that was asked. */
      readonly fencingToken: string;
      /** Of the present one. */
      readonly currentToken: string;
    }
  | {
      readonly type: 'process.stalled';
      readonly election: string;
      readonly fencingToken: string;
      readonly stalledMs: number;
      readonly cpuMs: number;
    }
  | { readonly type: 'follower.overdue'; readonly election: string; readonly afterMs: number }
  | {
      readonly type: 'work.ended';
      readonly election: string;
      readonly fencingToken: string;
      /** Whether the term goes on: the option `whenWorkEnds`. */
      readonly isStaying: boolean;
    }
  | {
      readonly type: 'callback.failed';
      readonly election: string;
      readonly callback: CallbackName;
      readonly error: unknown;
    }
  | {
      readonly type: 'write.failed';
      readonly election: string;
      readonly fencingToken: string;
      /** Since the last such event of this term. */
      readonly failures: number;
      readonly reason: string;
    }
  | { readonly type: 'txn.uncommitted'; readonly election: string; readonly fencingToken: string }
  | { readonly type: 'announce.failed'; readonly election: string; readonly reason: string }
  | {
      readonly type: 'release.failed';
      readonly election: string;
      readonly key: string;
      readonly reason: string;
    }
  | {
      readonly type: 'campaign.ended';
      readonly election: string;
      readonly reason: StopCause;
      readonly error?: unknown;
    }
  | {
      readonly type: 'guard.tripped';
      readonly election: string;
      readonly rounds: number;
      readonly holdMs: number;
      readonly origin: 'caller' | 'environment';
      readonly calledFrom: string | undefined;
    }
  /** So many `observe()` iterations of one election are open at once: meant, or left behind. Said once. */
  | { readonly type: 'observers.many'; readonly election: string; readonly count: number }
  | { readonly type: 'guard.recovered'; readonly election: string; readonly rounds: number };

export type ElectionEventType = ElectionEvent['type'];
export type EventOf<T extends ElectionEventType> = Extract<ElectionEvent, { type: T }>;

/** Where a line goes. A pino logger fits, and so does anything else with these methods. */
export interface Logger {
  trace(fields: object, message: string): void;
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Cluster IDs are shown as etcdctl shows them. */
const hex = (clusterId: string): string => BigInt(clusterId).toString(16);

export type Level = keyof Logger;
type Line<T extends ElectionEventType> = readonly [
  Level | ((event: EventOf<T>) => Level),
  (event: EventOf<T>) => string,
];

/** The log line of each event: transitions at info, faults at warn, renewals at trace. */
const lines: { readonly [T in ElectionEventType]: Line<T> } = {
  'options.unusual': ['warn', (e) => `options of election "${e.election}": ${e.reason}`],
  'session.opened': ['debug', (e) => `lease ${e.leaseId} granted for ${e.grantedTtlSeconds} s`],
  'session.renewed': ['trace', (e) => `lease ${e.leaseId} renewed in ${Math.round(e.roundTripMs)} ms`],
  'session.faltered': [
    'warn',
    (e) => `lease ${e.leaseId} could not be renewed, ${Math.round(e.leftMs)} ms left: ${e.reason}`,
  ],
  'session.recovered': [
    'info',
    (e) => `lease ${e.leaseId} renewed again, ${Math.round(e.leftMs)} ms were left`,
  ],
  'session.lost': ['warn', (e) => `lease ${e.leaseId} lost: ${e.reason}`],
  'session.held': [
    'warn',
    (e) =>
      `the last leases of this client did not last; the loop guard delays the next one by ${Math.round(e.holdMs)} ms`,
  ],
  'session.unavailable': [
    'warn',
    (e) =>
      `cannot obtain a lease from ${e.endpoints.join(', ')}, for ${Math.round(e.forMs / 1_000)} s now; retrying: ${e.reason}`,
  ],
  'session.available': [
    'info',
    (e) => `obtained a lease again after ${Math.round(e.afterMs / 1_000)} s without one`,
  ],
  'session.closed': ['debug', (e) => `lease ${e.leaseId} given back`],
  'host.away': ['warn', (e) => `etcd host ${e.host} is passed over: ${e.reason}`],
  'host.back': ['info', (e) => `etcd host ${e.host} answers again after ${Math.round(e.afterMs)} ms`],
  'host.foreign': [
    'error',
    (e) =>
      e.ourClusterId === undefined
        ? `etcd host ${e.host} belongs to cluster ${hex(e.clusterId)}, other hosts do not, and no cluster has the majority of the configured hosts: nobody can lead; correct the list of hosts`
        : `etcd host ${e.host} belongs to another cluster (${hex(e.clusterId)}, ours is ${hex(e.ourClusterId)}): its answers count for nothing; take it off the list of hosts`,
  ],
  'cluster.changed': [
    'error',
    (e) =>
      `all etcd hosts that answer belong to cluster ${hex(e.toClusterId)} now, no longer to ${hex(e.fromClusterId)}: elections go on there; candidates that still reach the old cluster would lead beside them`,
  ],
  'last-will.lost': [
    'warn',
    (e) => `no last will for now, a crash would cost the TTL; it is tried again: ${e.reason}`,
  ],
  'etcd.history-lost': [
    'warn',
    (e) =>
      `etcd's history went back from revision ${e.fromRevision} to ${e.toRevision}: it was wiped, or restored from a ` +
      'snapshot. Fencing tokens may repeat: a resource that keeps the largest token refuses new leaders until it is ' +
      'reset, or accepts a late write of an old leader. To restore without this: ' +
      'etcdutl snapshot restore --bump-revision 1000000000 --mark-compacted',
  ],
  'watch.lost': ['debug', (e) => `watch lost, healing: ${e.reason}`],
  'watch.healed': ['debug', (e) => `watch healed after ${Math.round(e.afterMs)} ms`],
  'watch.unconfirmed': [
    'warn',
    (e) =>
      `no watch was confirmed for ${Math.round(e.silentMs)} ms; the queue is read again and again instead. ` +
      'Does a proxy or gateway before etcd pass streams on?',
  ],
  'etcd.proxied': [
    'warn',
    (e) =>
      'etcd is reached through "etcd grpc-proxy": after a crash the next leader may come one TTL later. ' +
      (e.isSupported
        ? 'Endpoints of etcd itself are better.'
        : `A TTL of ${e.ttlSeconds} s is unsupported there, terms will end early: take 5 s or more, or endpoints of etcd itself.`),
  ],
  'candidate.entered': [
    'info',
    (e) => `standing in "${e.election}", place ${e.position} in the queue (fencing token ${e.fencingToken})`,
  ],
  'candidate.failed': ['warn', (e) => `could not stand in "${e.election}", trying again: ${e.reason}`],
  'candidate.refused': [
    'error',
    (e) =>
      `etcd refuses election "${e.election}", for ${Math.round(e.forMs / 1_000)} s now; trying again, slowly: ${e.reason}`,
  ],
  'candidate.lost': [
    'warn',
    (e) =>
      `place in the queue of "${e.election}" lost, entering it again (fencing token ${e.fencingToken}): ${e.reason}`,
  ],
  'candidate.waiting': [
    'info',
    (e) =>
      `waiting in "${e.election}" behind ${e.leader === undefined ? 'a leader that is not known' : `"${e.leader}"`} for ${Math.round(e.waitedMs / 1000)} s (place ${e.position}); campaign() resolves only when we lead, so do not await it before the service starts`,
  ],
  'leader.changed': [
    'debug',
    (e) =>
      e.fencingToken === undefined
        ? `nobody leads "${e.election}"`
        : `"${e.election}" is led by ${e.value} (fencing token ${e.fencingToken})`,
  ],
  'term.started': ['info', (e) => `leading "${e.election}" (fencing token ${e.fencingToken})`],
  'term.ended': [
    'info',
    (e) =>
      `stopped leading "${e.election}" after ${Math.round(e.ledMs)} ms: ${e.reason} (fencing token ${e.fencingToken})`,
  ],
  'term.released': [
    'debug',
    (e) =>
      `seat of "${e.election}" free ${Math.round(e.afterMs)} ms after the term ended (fencing token ${e.fencingToken})`,
  ],
  'drain.overdue': [
    'error',
    (e) =>
      `${e.callbacks.join(', ')} of "${e.election}" still runs ${Math.round(e.afterMs)} ms after the term ended, and another replica may lead now. Either it ignores term.signal (in a loop, call term.isCurrent(): without the parentheses it is always true), or it waits for the end of its own term (there, call term.stepDown() or term.resign(), which never wait)`,
  ],
  'term.stale': [
    'warn',
    (e) =>
      `a term of "${e.election}" that is over was asked (fencing token ${e.fencingToken}), and this replica leads with a newer one (${e.currentToken}): use election.isCurrent() and election.currentTerm, which follow the present term`,
  ],
  'process.stalled': [
    'error',
    (e) =>
      `the term of "${e.election}" was lost because this process did not turn its event loop for ${Math.round(e.stalledMs)} ms: ${
        e.cpuMs > e.stalledMs / 5
          ? `its own code kept it busy (${Math.round(e.cpuMs)} ms of CPU); move that into a worker thread, or raise ttlSeconds`
          : `it was frozen, suspended or starved of CPU (${Math.round(e.cpuMs)} ms of CPU)`
      }. What it checked before and wrote after may have overwritten the next leader, unless it wrote by term.put() or term.txn(), or the resource refused its fencing token`,
  ],
  'follower.overdue': [
    'error',
    (e) =>
      `onFollower of "${e.election}" has not settled for ${Math.round(e.afterMs)} ms: this replica cannot lead before it does; start there what lasts, and return`,
  ],
  'campaign.refused': ['error', (e) => `not standing in "${e.election}": ${errorText(e.error)}`],
  'work.ended': [
    'info',
    (e) =>
      e.isStaying
        ? `onLeader of "${e.election}" has returned, nothing is registered with the term, and we lead on (fencing token ${e.fencingToken}). If it has started something, the end of the term does not wait for that: return a function that stops it, stop it in onFollower, or register it by term.run() or term.every(). If its work is over, set whenWorkEnds: 'step-down' to hand over`
        : `the work of "${e.election}" has ended, and we step down (fencing token ${e.fencingToken})`,
  ],
  'callback.failed': [
    'error',
    (e) => `${e.callback} of "${e.election}" failed: ${errorText(e.error)}${siblingsOf(e.error)}`,
  ],
  'write.failed': [
    'warn',
    (e) =>
      `${e.failures} ${e.failures === 1 ? 'write' : 'writes'} under "${e.election}" failed (fencing token ${e.fencingToken}): ${e.reason}`,
  ],
  'txn.uncommitted': [
    'warn',
    (e) =>
      `a transaction of "${e.election}" was built, and not committed within 1 s: call .commit() and await it (fencing token ${e.fencingToken})`,
  ],
  'announce.failed': [
    'warn',
    (e) => `could not announce the new value in "${e.election}", trying again: ${e.reason}`,
  ],
  'release.failed': ['warn', (e) => `could not give up ${e.key}, it goes with its lease: ${e.reason}`],
  'campaign.ended': [
    (e) => (e.reason === 'refused' ? 'error' : 'info'),
    (e) =>
      e.reason === 'refused'
        ? `campaign in "${e.election}" over, and nobody tries again: ${errorText(e.error)}`
        : `campaign in "${e.election}" over: ${e.reason}`,
  ],
  'guard.tripped': [
    'warn',
    (e) =>
      `election "${e.election}" goes round too fast (${e.rounds} rounds): holding each round back, now ${Math.round(e.holdMs)} ms${e.calledFrom === undefined ? '' : `; called from ${e.calledFrom}`}`,
  ],
  'observers.many': [
    'warn',
    (e) =>
      `${e.count} iterations of observe() are open on election "${e.election}"; if each is for a viewer, end it when the viewer leaves, with its signal or return()`,
  ],
  'guard.recovered': ['info', (e) => `election "${e.election}" is steady again after ${e.rounds} rounds`],
};

/** V8 says in the stack that the error came through `Promise.all`, which leaves the others running. */
function siblingsOf(error: unknown): string {
  try {
    if (!(error instanceof Error) || !/^ +at async Promise\.all \(/m.test(String(error.stack))) return '';
    return '. The others of its Promise.all may still run, and beside those of the next term: register each by term.run(), and the next term waits for all of them';
  } catch {
    return ''; // an error whose properties throw
  }
}

const channels = Object.fromEntries(
  Object.keys(lines).map((type) => [type, channel(`etcd-election:${type}`)]),
) as Record<ElectionEventType, ReturnType<typeof channel>>;

/** All channel names, for those who subscribe to everything. */
export const channelNames: readonly string[] = Object.values(channels).map(({ name }) => String(name));

/** One message on `diagnostics_channel`. */
export function publish(event: ElectionEvent): void {
  if (channels[event.type].hasSubscribers) channels[event.type].publish(event);
}

export function levelOf(event: ElectionEvent): Level {
  const [level] = lines[event.type] as Line<typeof event.type>;
  return typeof level === 'string' ? level : level(event as never);
}

/**
 * One line in the log. A logger that throws is its owner's trouble, not that of the election.
 *
 * @param suppressed how many lines were left out before this one.
 */
export function writeLine(event: ElectionEvent, logger: Logger, suppressed: number): void {
  const [, message] = lines[event.type] as Line<typeof event.type>;
  const level = levelOf(event);
  const { type, ...fields } = event;
  const line = { event: type, ...fields, ...(suppressed > 0 && { suppressedLines: suppressed }) };
  const text = message(event as never);
  try {
    logger[level](
      'error' in fields ? { ...line, err: withoutCause(fields.error), error: undefined } : line,
      text,
    );
  } catch {
    if ('error' in fields) withoutError(logger, level, { ...line, error: undefined }, text);
  }
}

/**
 * An error of ours tells its cause in its own message, and pino appends the messages of all causes to it: a copy without
 * the cause says it once. Errors of the user are passed on as they are.
 */
function withoutCause(error: unknown): unknown {
  if (!(error instanceof ElectionError) || error.cause === undefined) return error;
  const { cause: _, ...own } = Object.getOwnPropertyDescriptors(error);
  const stack = { value: error.stack, configurable: true, writable: true };
  return Object.create(Object.getPrototypeOf(error) as object, { ...own, stack }) as unknown;
}

/** An error whose properties throw makes a logger throw. What is known of it is in the text. */
function withoutError(logger: Logger, level: Level, line: object, text: string): void {
  try {
    logger[level](line, text);
  } catch {
    // Nowhere left to say it.
  }
}
