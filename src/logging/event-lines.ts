/**
 * The log line of each event.
 */
import { errorText } from '../core/shown.ts';
import { ElectionError } from '../errors.ts';
import type { CallbackName, ElectionEvent, ElectionEventType, EventOf, Level, Logger } from '../events.ts';

/** Cluster IDs are shown as etcdctl shows them. */
const hex = (clusterId: string): string => BigInt(clusterId).toString(16);

type Line<T extends ElectionEventType> = readonly [
  Level | ((event: EventOf<T>) => Level),
  (event: EventOf<T>) => string,
];

/** Transitions at info, faults at warn, renewals at trace. */
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
      `the last leases of this client ended soon; the loop guard delays the next one by ${Math.round(e.holdMs)} ms`,
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
  'session.closed': ['debug', (e) => `revoking lease ${e.leaseId}`],
  'host.away': ['warn', (e) => `etcd host ${e.host} is avoided: ${e.reason}`],
  'host.back': ['info', (e) => `etcd host ${e.host} answers again after ${Math.round(e.afterMs)} ms`],
  'host.foreign': [
    'error',
    (e) =>
      e.ourClusterId === undefined
        ? `etcd host ${e.host} belongs to cluster ${hex(e.clusterId)}, other hosts do not, and no cluster has the majority of the configured hosts: nobody can lead; correct the list of hosts`
        : `etcd host ${e.host} belongs to another cluster (${hex(e.clusterId)}, ours is ${hex(e.ourClusterId)}): its answers are ignored; remove it from the list of hosts`,
  ],
  'cluster.changed': [
    'error',
    (e) =>
      `all etcd hosts that answer belong to cluster ${hex(e.toClusterId)} now, no longer to ${hex(e.fromClusterId)}: elections continue there; candidates that still reach the old cluster can lead at the same time`,
  ],
  'last-will.lost': [
    'warn',
    (e) =>
      `the last will does not run, so after a crash the next leader waits for the TTL; retrying: ${e.reason}`,
  ],
  'etcd.history-lost': [
    'warn',
    (e) =>
      `etcd's history went back from revision ${e.fromRevision} to ${e.toRevision}: it was wiped, or restored from a ` +
      'snapshot. Fencing tokens may repeat: a resource that keeps the largest token refuses new leaders until it is ' +
      'reset, or accepts a late write of an old leader. To restore without this: ' +
      'etcdutl snapshot restore --bump-revision 1000000000 --mark-compacted',
  ],
  'watch.lost': ['debug', (e) => `watch lost, reconnecting: ${e.reason}`],
  'watch.healed': ['debug', (e) => `watch restored after ${Math.round(e.afterMs)} ms`],
  'watch.unconfirmed': [
    'warn',
    (e) =>
      `no watch was confirmed for ${Math.round(e.silentMs)} ms; the queue is polled instead. ` +
      'Check whether a proxy or gateway before etcd passes streams on',
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
  'candidate.failed': ['warn', (e) => `could not enter the queue of "${e.election}", retrying: ${e.reason}`],
  'candidate.refused': [
    'error',
    (e) =>
      `etcd refuses election "${e.election}", for ${Math.round(e.forMs / 1_000)} s now; retrying slowly: ${e.reason}`,
  ],
  'candidate.lost': [
    'warn',
    (e) =>
      `lost the place in the queue of "${e.election}", entering again (fencing token ${e.fencingToken}): ${e.reason}`,
  ],
  'candidate.waiting': [
    (e) => (e.awaitedBy === undefined ? 'info' : 'warn'),
    (e) =>
      `waiting in "${e.election}" behind ${e.leader === undefined ? 'an unknown leader' : `"${e.leader}"`} for ${Math.round(e.waitedMs / 1000)} s (place ${e.position}); ${
        e.awaitedBy === undefined
          ? 'campaign() resolves only when we lead, so do not await it before the service starts'
          : `the work of "${e.awaitedBy}" awaits it, and this replica leads "${e.awaitedBy}" meanwhile. If the leader of "${e.election}" waits for "${e.awaitedBy}" in the same way, both wait for ever: enter the elections in one order everywhere, or use one election for both`
      }`,
  ],
  'usage.unusual': [
    (e) => (e.usage === 'in-turn' || e.usage === 'short-work' ? 'info' : 'warn'),
    (e) => e.reason,
  ],
  'leader.changed': [
    'debug',
    (e) =>
      e.fencingToken === undefined
        ? `no leader of "${e.election}" is known`
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
      `${e.callbacks.join(', ')} of "${e.election}" still runs ${Math.round(e.afterMs)} ms after the term ended, and another replica may lead now. Either it ignores term.signal (in a loop, call term.isCurrent(): without the parentheses it is always true, and a flag that onFollower resets comes too late: onFollower is called after onLeader has returned), or it waits for the end of its own term (there, call term.stepDown() or term.resign(), which never wait)`,
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
    (e) =>
      `${e.callback} of "${e.election}" failed: ${errorText(e.error)}${siblingsOf(e.error) || restOf(e.callback)}`,
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
    (e) => `could not announce the new value in "${e.election}", retrying: ${e.reason}`,
  ],
  'release.failed': ['warn', (e) => `failed to delete ${e.key}; it expires with its lease: ${e.reason}`],
  'campaign.ended': [
    (e) => (e.reason === 'refused' ? 'error' : 'info'),
    (e) =>
      e.reason === 'refused'
        ? `campaign in "${e.election}" over, without a retry: ${errorText(e.error)}`
        : `campaign in "${e.election}" over: ${e.reason}`,
  ],
  'guard.tripped': [
    'warn',
    (e) =>
      `loop guard of election "${e.election}" tripped (${e.rounds} rounds): it delays every round, now by ${Math.round(e.holdMs)} ms${e.calledFrom === undefined ? '' : `; called from ${e.calledFrom}`}`,
  ],
  'observers.many': [
    'warn',
    (e) =>
      `${e.count} iterations of observe() are open on election "${e.election}"; if each is for a viewer, end it when the viewer leaves, with its signal or return()`,
  ],
  'guard.recovered': [
    'info',
    (e) => `loop guard of election "${e.election}" recovered after ${e.rounds} rounds`,
  ],
};

/** Advice if an error came through `Promise.all`, which leaves the other promises running. V8's stack trace shows that. */
function siblingsOf(error: unknown): string {
  try {
    if (!(error instanceof Error) || !/^ +at async Promise\.all \(/m.test(String(error.stack))) return '';
    return '. The others of its Promise.all may still run, and beside those of the next term: register each by term.run(), and the next term waits for all of them';
  } catch {
    return ''; // an error whose properties throw
  }
}

/** Advice about work that was not awaited, and goes on after `onLeader` fails. */
const restOf = (callback: CallbackName): string =>
  callback === 'onLeader'
    ? '. If it has started other work, the next term does not wait for that unless it is registered by term.run()'
    : '';

export function levelOf(event: ElectionEvent): Level {
  const [level] = lines[event.type] as Line<typeof event.type>;
  return typeof level === 'string' ? level : level(event as never);
}

/**
 * Writes one log line. If the logger throws, the election goes on.
 *
 * @param suppressed how many lines were suppressed before this one.
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
 * Copies an error of the library without its cause. Its message already contains the cause, and pino would append the messages
 * of all causes again. Errors of the user are passed on unchanged.
 */
function withoutCause(error: unknown): unknown {
  if (!(error instanceof ElectionError) || error.cause === undefined) return error;
  const { cause: _, ...own } = Object.getOwnPropertyDescriptors(error);
  const stack = { value: error.stack, configurable: true, writable: true };
  return Object.create(Object.getPrototypeOf(error) as object, { ...own, stack }) as unknown;
}

/** Writes the line again without the error: a logger throws if the error's properties throw. The text describes it. */
function withoutError(logger: Logger, level: Level, line: object, text: string): void {
  try {
    logger[level](line, text);
  } catch {
    // There is nowhere left to report it.
  }
}
