/**
 * The log line of each event.
 */
import { errorText } from '../core/shown.ts';
import { ElectionError } from '../errors.ts';
import { adviceAfter } from './callback-advice.ts';
import { isPromise } from '../util/settle.ts';
import type { ElectionEvent, ElectionEventType, EventOf, Level, Logger, UnusualUsage } from '../events.ts';

type Line<T extends ElectionEventType> = readonly [
  Level | ((event: EventOf<T>) => Level),
  (event: EventOf<T>) => string,
];

/** Usages that are correct in many programs, so they are logged at `info` instead of `warn`. */
const OFTEN_CORRECT: ReadonlySet<UnusualUsage> = new Set([
  'in-turn',
  'short-work',
  'unasked-term',
  'emitted',
]);

/** The level and the text of every event. Transitions are `info`, faults `warn` or `error`, details `debug` or `trace`. */
export const lines: { readonly [T in ElectionEventType]: Line<T> } = {
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
      `the loop guard delays the next lease of this client by ${Math.round(e.holdMs)} ms, because the client's last leases were short-lived or it has reconnected often`,
  ],
  'session.unavailable': [
    'warn',
    (e) =>
      `cannot obtain a lease from ${e.endpoints.join(', ')}, ${e.forMs < 1_000 ? 'at this moment' : `for ${Math.round(e.forMs / 1_000)} s now`}; retrying: ${e.reason}${causesOf(e.causes)}`,
  ],
  'session.available': [
    'info',
    (e) => `obtained a lease again after ${Math.round(e.afterMs / 1_000)} s without one`,
  ],
  'session.closed': ['debug', (e) => `revoking lease ${e.leaseId}`],
  'host.away': ['warn', (e) => `etcd host ${e.host} is avoided: ${e.reason}`],
  'host.back': ['info', (e) => `etcd host ${e.host} answers again after ${Math.round(e.afterMs)} ms`],
  'host.foreign': [
    'error',
    (e) =>
      e.ourClusterId === undefined
        ? `etcd host ${e.host} belongs to cluster ${e.clusterId}, but other hosts do not. No cluster has the majority of the configured hosts, so no replica can lead: correct the list of hosts`
        : `etcd host ${e.host} belongs to another cluster (${e.clusterId}, ours is ${e.ourClusterId}): its answers are ignored; correct this address, or remove it from the list of hosts`,
  ],
  'cluster.changed': [
    'error',
    (e) =>
      `most configured etcd hosts belong to cluster ${e.toClusterId}, not to ${e.fromClusterId}: elections continue in the new cluster; candidates that still reach the old one can lead at the same time`,
  ],
  'last-will.lost': [
    'warn',
    (e) =>
      `the last will does not run, so after a crash the next leader waits for the TTL; retrying: ${e.reason}`,
  ],
  'etcd.history-lost': [
    'warn',
    (e) =>
      `etcd's history went back from revision ${e.fromRevision} to ${e.toRevision}: etcd was wiped, or restored from a ` +
      'snapshot. Fencing tokens may repeat. A resource that keeps the largest token may refuse every new leader until ' +
      'you reset it. It may also accept a late write of an old leader. To restore without this: ' +
      'etcdutl snapshot restore --bump-revision 1000000000 --mark-compacted',
  ],
  'watch.lost': ['debug', (e) => `watch lost, reconnecting: ${e.reason}`],
  'watch.healed': ['debug', (e) => `watch restored after ${Math.round(e.afterMs)} ms`],
  'watch.unconfirmed': [
    'warn',
    (e) =>
      `no watch was confirmed for ${Math.round(e.silentMs)} ms; the queue is polled instead. ` +
      'Check whether a proxy or gateway in front of etcd forwards streams',
  ],
  'etcd.proxied': [
    'warn',
    (e) =>
      'etcd is reached through "etcd grpc-proxy". After a crash the proxy may renew the lease for up to one TTL more, and the next leader waits for that. ' +
      (e.isSupported
        ? 'It is better to connect to the members of etcd.'
        : `A TTL of ${e.ttlSeconds} s is not supported there, and terms will end early: use 5 s or more, or connect to the members of etcd.`),
  ],
  'candidate.entered': [
    'info',
    (e) => `standing in "${e.election}", place ${e.position} in the queue (fencing token ${e.fencingToken})`,
  ],
  'candidate.failed': [
    (e) => (e.isRepeated ? 'debug' : 'warn'),
    (e) => `could not enter the queue of "${e.election}", retrying: ${e.reason}`,
  ],
  'candidate.refused': [
    'error',
    (e) =>
      `etcd has refused election "${e.election}" for ${Math.round(e.forMs / 1_000)} s; retrying slowly: ${e.reason}`,
  ],
  'candidate.lost': [
    'warn',
    (e) =>
      `lost the place in the queue of "${e.election}", entering again (fencing token ${e.fencingToken}): ${e.reason}`,
  ],
  'candidate.waiting': [
    (e) => (e.awaitedBy === undefined && e.blockedBy === undefined ? 'info' : 'warn'),
    (e) =>
      blockedBy(e) ??
      `waiting in "${e.election}" behind ${e.leader === undefined ? 'an unknown leader' : `"${e.leader}"`} for ${Math.round(e.waitedMs / 1000)} s (place ${e.position}); ${
        e.awaitedBy === undefined
          ? 'that is normal while another replica leads. campaign() resolves when we lead: do not await it before the service starts'
          : `the work of "${e.awaitedBy}" awaits this campaign, and this replica leads "${e.awaitedBy}" meanwhile. If the leader of "${e.election}" waits for "${e.awaitedBy}" in the same way, both wait for ever. Enter the elections in the same order everywhere, or use one election for both`
      }`,
  ],
  'usage.unusual': [(e) => (OFTEN_CORRECT.has(e.usage) ? 'info' : 'warn'), (e) => e.reason],
  'leader.changed': [
    'debug',
    (e) =>
      e.fencingToken === undefined
        ? e.isKnown
          ? `"${e.election}" has no leader`
          : `the leader of "${e.election}" is unknown`
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
      `leadership of "${e.election}" released ${Math.round(e.afterMs)} ms after the term ended (fencing token ${e.fencingToken})`,
  ],
  'drain.overdue': [
    'error',
    (e) =>
      `${e.callbacks.join(', ')} of "${e.election}" had not ended ${Math.round(e.afterMs)} ms after the end of the term, and another replica may lead now. ` +
      (e.stalledMs > 0
        ? `In that time the event loop of this process stood still for ${Math.round(e.stalledMs)} ms in all. `
        : '') +
      'Does a callback ignore term.signal? In a loop, call term.isCurrent(), with its parentheses. ' +
      'While onLeader runs, onFollower is called only after three quarters of drainTimeoutMs. A flag that onFollower sets ends a loop too late. ' +
      'Call term.onEnd() with a function that ends what onLeader awaits. ' +
      'Does a callback wait for the end of its own term? Call term.stepDown() or term.resign() instead: these never wait',
  ],
  'term.stale': [
    'warn',
    (e) =>
      `the program still uses a term of "${e.election}" that has ended (fencing token ${e.fencingToken}), while this replica leads with a newer one (${e.currentToken}). ` +
      'Use election.isCurrent() and election.currentTerm, which follow the present term',
  ],
  'process.stalled': [
    'error',
    (e) =>
      `the term of "${e.election}" was lost because the event loop of this process stood still for ${Math.round(e.stalledMs)} ms in all: ${
        e.cpuMs > e.stalledMs / 5
          ? `its own code kept it busy (${Math.round(e.cpuMs)} ms of CPU); move that code into a worker thread, or raise ttlSeconds`
          : `it was frozen, suspended or starved of CPU (${Math.round(e.cpuMs)} ms of CPU)`
      }. A write that was checked before the stall and sent after it may have overwritten the next leader's data. term.put(), term.txn() and a resource that checks fencing tokens prevent that`,
  ],
  'orphan.deleted': [
    'warn',
    (e) =>
      `deleted ${e.key} (fencing token ${e.fencingToken}), which blocked "${e.election}". The lease under which the key was created is gone. Somebody had put the key again without a lease`,
  ],
  'follower.overdue': [
    'error',
    (e) =>
      `onFollower of "${e.election}" has not settled for ${Math.round(e.afterMs)} ms: this replica cannot lead until it settles. Start long work there without awaiting it`,
  ],
  'campaign.refused': ['error', (e) => `not standing in "${e.election}": ${errorText(e.error)}`],
  'work.ended': [
    'info',
    (e) =>
      e.isStaying
        ? `onLeader of "${e.election}" has returned, nothing is registered with the term, and we still lead (fencing token ${e.fencingToken}). ` +
          'If onLeader has started something that still runs, the end of the term does not wait for it: return a function that stops it, stop it in onFollower, or register it by term.run() or term.every(). ' +
          "If the work is over, set whenWorkEnds: 'step-down' to hand over"
        : `the work of "${e.election}" has ended, and we step down (fencing token ${e.fencingToken})`,
  ],
  'callback.failed': [
    'error',
    (e) =>
      `${e.callback} of "${e.election}" failed: ${errorText(e.error)}${adviceAfter(e.callback, e.error)}`,
  ],
  'write.failed': [
    'warn',
    (e) =>
      `${e.failures} ${e.failures === 1 ? 'write' : 'writes'} under "${e.election}" failed (fencing token ${e.fencingToken}): ${e.reason}`,
  ],
  'txn.uncommitted': [
    'warn',
    (e) =>
      `a transaction of "${e.election}" was built, but not committed within 1 s: call .commit() and await it (fencing token ${e.fencingToken})`,
  ],
  'announce.failed': [
    'warn',
    (e) => `could not announce the new value in "${e.election}", retrying: ${e.reason}`,
  ],
  'release.failed': [
    'warn',
    (e) =>
      `could not delete ${e.key}: ${e.reason}. Candidates behind it cannot lead until it is gone. As long as an election of this client keeps the lease, the delete is tried again. Otherwise the key expires with the lease`,
  ],
  'campaign.ended': [
    (e) => (e.reason === 'refused' ? 'error' : 'info'),
    (e) =>
      e.reason === 'refused'
        ? `the campaign in "${e.election}" has ended and is not retried: ${errorText(e.error)}`
        : e.reason === 'skipped'
          ? `skipped the work of "${e.election}", because ${e.leader === undefined ? 'another replica' : `"${e.leader}"`} is ahead of us in the queue (ifFree)`
          : `the campaign in "${e.election}" has ended: ${e.reason}`,
  ],
  'guard.tripped': [
    'warn',
    (e) =>
      (e.origin === 'environment'
        ? `calls of election "${e.election}" fail because of etcd or the network (${e.rounds} in a short time), and the loop guard delays the error of every failed call`
        : `loop guard of election "${e.election}" tripped, because ${e.rounds} rounds, new elections or other calls came too fast. The guard delays each of them`) +
      `, now by ${Math.round(e.holdMs)} ms${e.calledFrom === undefined ? '' : `; called from ${e.calledFrom}`}`,
  ],
  'observers.many': [
    'warn',
    (e) =>
      `${e.count} iterations of observe() are open on election "${e.election}". Does each iteration serve one viewer? Then end it when its viewer leaves: abort the signal given to observe(), or call return()`,
  ],
  'guard.recovered': [
    'info',
    (e) => `loop guard of election "${e.election}" recovered (${e.rounds} rounds so far)`,
  ],
};

export const blockedBy = ({
  election,
  blockedBy: key,
}: Omit<EventOf<'candidate.waiting'>, 'type'>): string | undefined =>
  key &&
  `no replica can lead "${election}": the key ${JSON.stringify(key)} is the first in its queue, and has no lease. Another program put it there, so neither etcd nor this library deletes it. Delete the key, or move it elsewhere`;

/** The causes of several hosts. Hosts with the same cause are named together. */
function causesOf(causes: EventOf<'session.unavailable'>['causes'] = []): string {
  const hosts = new Map<string, string[]>();
  for (const { host, reason } of causes) hosts.set(reason, [...(hosts.get(reason) ?? []), host]);
  const told = [...hosts].map(([reason, named]) => `${named.join(', ')}: ${reason}`);
  return told.length === 0 ? '' : ` (${told.join('; ')})`;
}

export function levelOf(event: ElectionEvent): Level {
  const [level] = lines[event.type] as Line<typeof event.type>;
  return typeof level === 'string' ? level : level(event as never);
}

/**
 * Writes one log line. A logger that throws or rejects does not affect the election.
 *
 * @param suppressed how many lines were suppressed before this one.
 */
export function writeLine(event: ElectionEvent, logger: Logger, suppressed: number): void {
  const [, message] = lines[event.type] as Line<typeof event.type>;
  const level = levelOf(event);
  const { type, ...exact } = event;
  const fields = withoutDigits(exact);
  const line = { event: type, ...fields, ...(suppressed > 0 && { suppressedLines: suppressed }) };
  const text = message(event as never);
  try {
    log(
      logger,
      level,
      'error' in fields ? { ...line, err: withoutCause(fields.error), error: undefined } : line,
      text,
    );
  } catch {
    if ('error' in fields) withoutError(logger, level, { ...line, error: undefined }, text);
  }
}

/** Calls the logger. An async logger may reject, and an unhandled rejection would end the process. */
function log(logger: Logger, level: Level, line: object, text: string): void {
  const returned: unknown = logger[level](line, text);
  if (isPromise(returned)) returned.then(undefined, () => undefined);
}

/** Rounds times to tenths of a millisecond. */
const withoutDigits = <T extends object>(fields: T): T =>
  Object.fromEntries(
    Object.entries(fields).map(([name, value]: [string, unknown]) => [
      name,
      typeof value === 'number' && name.endsWith('Ms') ? Math.round(value * 10) / 10 : value,
    ]),
  ) as T;

/**
 * Copies an error of the library without its cause. The message already contains the cause, and pino would append it
 * again. Errors of the user are passed on unchanged.
 */
function withoutCause(error: unknown): unknown {
  if (!(error instanceof ElectionError) || error.cause === undefined) return error;
  const { cause: _, ...own } = Object.getOwnPropertyDescriptors(error);
  const stack = { value: error.stack, configurable: true, writable: true };
  return Object.create(Object.getPrototypeOf(error) as object, { ...own, stack }) as unknown;
}

/** Writes the line again without the error, whose properties may throw. The text of the line still describes the error. */
function withoutError(logger: Logger, level: Level, line: object, text: string): void {
  try {
    log(logger, level, line, text);
  } catch {
    // The logger fails again, and there is nowhere else to report it.
  }
}
