/**
 * Turns the doctor's measurements of the whole cluster into verdicts and advice. Pure.
 */
import { SHORTEST_PROXIED_TTL_SECONDS } from '../../core/deadline.ts';
import { bad, good, warning, type Finding, type MemberReading } from './doctor-findings.ts';
import { named, type Member } from '../one-cluster.ts';
import { failureOf, hintFor } from '../plain-error.ts';

export function judgeCluster(readings: readonly MemberReading[], clusterSize: number | undefined): Finding[] {
  const reached = readings.flatMap(({ endpoint, reached: status }) =>
    'failure' in status ? [] : [{ endpoint, ...status }],
  );
  const findings = judgeClusterIds(membersOf(readings));
  if (reached.length === 0) return findings;
  if (findings.length === 0 && disagreeOnLeader(readings))
    findings.push(
      bad(
        'cluster',
        'the members name different leaders',
        'etcd is electing its own leader, or its network is split: run this again in a few seconds',
      ),
    );
  if (clusterSize === undefined) return findings;
  const advice =
    clusterSize === 1
      ? 'while it is down, no replica can be elected, and leaders step down within one TTL: use three members to survive the loss of one'
      : clusterSize % 2 === 0
        ? `${clusterSize} members survive no more losses than a cluster of ${clusterSize - 1}: use an odd number`
        : undefined;
  const found = `${clusterSize} ${clusterSize === 1 ? 'member' : 'members'}`;
  findings.push(advice === undefined ? good('cluster', found) : warning('cluster', found, advice));
  const hasGateway = reached.some(({ membersBehind }) => membersBehind > 1);
  if (clusterSize > 1 && readings.length === 1 && !hasGateway)
    findings.push(
      warning(
        'endpoints',
        'only one of several members is listed',
        'list all of them: otherwise a restart of this one is an outage for you',
      ),
    );
  return findings;
}

/** Whether members of one cluster name different leaders. */
export function disagreeOnLeader(readings: readonly MemberReading[]): boolean {
  const leaders = new Map<string, string>();
  return readings.some(({ reached }) => {
    if ('failure' in reached || reached.leaderId === '0') return false;
    const first = leaders.get(reached.clusterId) ?? reached.leaderId;
    leaders.set(reached.clusterId, first);
    return first !== reached.leaderId;
  });
}

/**
 * Whether a member names a leader that may just have died. The doctor assumes this if no member that answered
 * is that leader, and a listed member does not answer.
 */
export function nameAbsentLeader(readings: readonly MemberReading[]): boolean {
  const reached = readings.flatMap(({ reached: status }) => ('failure' in status ? [] : [status]));
  const isSomeAway = readings.some(
    ({ reached: status }) => 'failure' in status && ['unreachable', 'silent'].includes(status.failure),
  );
  const present = new Set(['0', ...reached.map(({ memberId }) => memberId)]);
  return isSomeAway && reached.some(({ leaderId }) => !present.has(leaderId));
}

/** The endpoints that have named their cluster. */
export const membersOf = (readings: readonly MemberReading[]): Member[] =>
  readings.flatMap(({ endpoint, reached: { clusterId } }) =>
    clusterId === undefined ? [] : [{ endpoint, clusterId }],
  );

function judgeClusterIds(reached: readonly Member[]): Finding[] {
  const clusters = new Set(reached.map(({ clusterId }) => clusterId));
  if (clusters.size < 2) return [];
  return [
    bad(
      'cluster',
      `the endpoints belong to ${clusters.size} different clusters: ${named(reached)}`,
      'every cluster elects its own leader, so there can be two leaders: list the members of one cluster only',
    ),
  ];
}

/** Detects a grpc-proxy, which replaces the watch ID that the client chose. */
export function judgeProxy(watchIdCameBack: boolean | undefined, ttlSeconds: number): Finding[] {
  if (watchIdCameBack !== false) return [];
  const found = 'this is an etcd grpc-proxy: it does not keep the watch ID that the client chose';
  const least = SHORTEST_PROXIED_TTL_SECONDS;
  return [
    ttlSeconds < least
      ? bad(
          'grpc-proxy',
          found,
          `with a TTL below ${least} s, replicas behind the proxy lose their terms early: connect to the members directly`,
        )
      : warning(
          'grpc-proxy',
          found,
          'after a crash of the leader, the proxy may renew its lease for up to one TTL more: connect to the members directly',
        ),
  ];
}

export function judgeAlarms(alarms: readonly string[] | { readonly error: string }): Finding[] {
  if ('error' in alarms)
    return [
      warning(
        'alarms',
        `cannot be read: ${alarms.error}`,
        failureOf(alarms.error) === 'permission'
          ? 'with authentication on, only root may read them: run etcdctl alarm list as root'
          : 'run etcdctl alarm list',
      ),
    ];
  if (alarms.length === 0) return [good('alarms', 'none')];
  return alarms.map((alarm) =>
    bad(
      'alarms',
      alarm,
      alarm === 'NOSPACE' || alarm === 'Nospace'
        ? 'etcd refuses writes: compact, defragment, then run etcdctl alarm disarm'
        : "run etcdctl alarm list, and read etcd's log",
    ),
  );
}

export function judgeLease(
  askedSeconds: number,
  lease: { grantedSeconds: number; renewedInMs: number } | { readonly error: string },
): Finding[] {
  if ('error' in lease)
    return [
      bad(
        'lease',
        `cannot obtain one: ${lease.error}`,
        hintFor(lease.error) ?? 'without a lease, no replica can enter an election',
      ),
    ];
  const { grantedSeconds, renewedInMs } = lease;
  const found = `${grantedSeconds} s granted, renewed in ${Math.round(renewedInMs)} ms`;
  if (renewedInMs > (grantedSeconds * 1_000) / 4)
    return [
      bad(
        'lease',
        found,
        'a renewal takes longer than a quarter of the TTL, so leaders will lose their terms: use a longer TTL, or make etcd or the network faster',
      ),
    ];
  if (grantedSeconds > askedSeconds)
    return [
      warning(
        'lease',
        `${found}, but ${askedSeconds} s were requested`,
        'etcd grants at least 1.5 times its election timeout: after a crash there is no leader for that long',
      ),
    ];
  return [good('lease', found)];
}

export type Permission = 'put' | 'read' | 'watch' | 'delete';

/** @param failed the operations that failed, with their errors. A time-out says nothing about permissions. */
export function judgePermissions(prefix: string, failed: ReadonlyMap<Permission, string>): Finding[] {
  if (failed.size === 0) return [good('permissions', `may write, read, watch and delete under "${prefix}"`)];
  const byReason = new Map<string, Permission[]>();
  for (const [what, error] of failed) {
    const reason = failureOf(error) === 'permission' ? 'permission denied' : error;
    byReason.set(reason, [...(byReason.get(reason) ?? []), what]);
  }
  return [...byReason].map(([reason, whats]) =>
    reason === 'permission denied'
      ? bad(
          'permissions',
          `may not ${whats.join(', ')} under "${prefix}": ${reason}`,
          `etcdctl role grant-permission ROLE --prefix=true readwrite ${prefix === '' ? '""' : prefix}`,
        )
      : bad('trial', `${whats.join(', ')} failed: ${reason}`, hintFor(reason) ?? "read etcd's log"),
  );
}

export function judgeWrite(milliseconds: number | undefined): Finding[] {
  if (milliseconds === undefined) return [];
  const found = `a write takes ${milliseconds.toFixed(1)} ms`;
  return milliseconds > 100
    ? [
        warning(
          'latency',
          found,
          "every hand-over needs at least one write: check etcd's disk (etcd_disk_wal_fsync_duration_seconds) and the network",
        ),
      ]
    : [good('latency', found)];
}
