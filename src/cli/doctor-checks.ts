/**
 * Turns the doctor's measurements of the whole cluster into verdicts and advice. Pure.
 */
import { bad, good, warning, type Finding, type MemberReading } from './doctor-findings.ts';
import { failureOf, hintFor } from './plain-error.ts';

/** Checks whether all members form one cluster. */
export function judgeCluster(readings: readonly MemberReading[], clusterSize: number | undefined): Finding[] {
  const reached = readings.flatMap(({ endpoint, reached: status }) =>
    'failure' in status ? [] : [{ endpoint, ...status }],
  );
  if (reached.length === 0) return [];
  const findings = judgeStrangers(reached);
  const leaders = new Set(reached.map(({ leaderId }) => leaderId).filter((id) => id !== '0'));
  if (findings.length === 0 && leaders.size > 1)
    findings.push(
      bad(
        'cluster',
        `the members name ${leaders.size} different leaders`,
        'etcd is electing its own leader, or the cluster is parted: look again in some seconds',
      ),
    );
  if (clusterSize === undefined) return findings;
  const advice =
    clusterSize === 1
      ? 'while it restarts nobody can be elected, and leaders step down after one TTL; three members survive the loss of one'
      : clusterSize % 2 === 0
        ? 'an even number survives no more losses than one member less'
        : undefined;
  const found = `${clusterSize} ${clusterSize === 1 ? 'member' : 'members'}`;
  findings.push(advice === undefined ? good('cluster', found) : warning('cluster', found, advice));
  const isBehindOne = reached.some(({ membersBehind }) => membersBehind > 1);
  if (clusterSize > 1 && readings.length === 1 && !isBehindOne)
    findings.push(
      warning(
        'endpoints',
        'one of several members is named',
        'name them all: with one, its restart is an outage for you',
      ),
    );
  return findings;
}

/** Checks for members of another cluster among the endpoints. Every cluster would have its own leader. */
function judgeStrangers(
  reached: readonly { readonly endpoint: string; readonly clusterId: string }[],
): Finding[] {
  const clusters = new Map<string, string[]>();
  for (const { endpoint, clusterId } of reached)
    clusters.set(clusterId, [...(clusters.get(clusterId) ?? []), endpoint]);
  if (clusters.size < 2) return [];
  const named = [...clusters].map(
    ([id, endpoints]) => `${endpoints.join(', ')} (cluster ${BigInt(id).toString(16)})`,
  );
  return [
    bad(
      'cluster',
      `the endpoints belong to ${clusters.size} different clusters: ${named.join('; ')}`,
      'each cluster elects a leader of its own, so there can be two: name the members of one cluster only',
    ),
  ];
}

/** Detects a grpc-proxy: it replaces the watch ID that the client chose. */
export function judgeProxy(watchIdCameBack: boolean | undefined): Finding[] {
  if (watchIdCameBack !== false) return [];
  return [
    bad(
      'grpc-proxy',
      'an etcd grpc-proxy stands between: it does not keep the watch ID that the client chose',
      'it answers renewals and watches from its own; a term can be believed too long: connect to the members themselves',
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
          ? 'with authentication on, only root may; look with etcdctl alarm list'
          : 'look with etcdctl alarm list',
      ),
    ];
  if (alarms.length === 0) return [good('alarms', 'none')];
  return alarms.map((alarm) =>
    bad(
      'alarms',
      alarm,
      alarm === 'NOSPACE' || alarm === 'Nospace'
        ? 'etcd refuses writes: compact, defragment, then etcdctl alarm disarm'
        : 'see etcdctl alarm list, and etcd’s log',
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
        hintFor(lease.error) ?? 'without a lease nobody can enter an election',
      ),
    ];
  const { grantedSeconds, renewedInMs } = lease;
  const found = `${grantedSeconds} s granted, renewed in ${Math.round(renewedInMs)} ms`;
  if (renewedInMs > (grantedSeconds * 1_000) / 4)
    return [
      bad(
        'lease',
        found,
        'renewals take longer than a quarter of the TTL: leaders will be lost; a longer TTL, or a quicker etcd (its disk, the way there)',
      ),
    ];
  if (grantedSeconds > askedSeconds)
    return [
      warning(
        'lease',
        `${found}, though ${askedSeconds} s were asked for`,
        "etcd's least is 1.5 times its election timeout: after a crash there is no leader for that long",
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
          `etcdctl role grant-permission ROLE --prefix=true readwrite ${prefix}`,
        )
      : bad('trial', `${whats.join(', ')} failed: ${reason}`, hintFor(reason) ?? 'see etcd’s log'),
  );
}

/** Judges etcd's disk by the time of one acknowledged write. */
export function judgeWrite(milliseconds: number | undefined): Finding[] {
  if (milliseconds === undefined) return [];
  const found = `a write takes ${milliseconds.toFixed(1)} ms`;
  return milliseconds > 100
    ? [
        warning(
          'latency',
          found,
          "every hand-over takes at least one: look at etcd's disk (etcd_disk_wal_fsync_duration_seconds) and the way there",
        ),
      ]
    : [good('latency', found)];
}
