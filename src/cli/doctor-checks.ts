/**
 * What the doctor's measurements mean: verdicts and advice. Pure.
 */

import { hintFor } from './plain-error.ts';

export interface Finding {
  readonly check: string;
  readonly verdict: 'good' | 'warning' | 'bad';
  /** What was found. */
  readonly found: string;
  /** What to do about it; undefined where nothing is to be done. */
  readonly advice?: string;
}

export interface MemberReading {
  readonly endpoint: string;
  readonly reached:
    | {
        readonly version: string;
        readonly roundTripMs: number;
        readonly memberId: string;
        /** `0` where the member knows of none. */
        readonly leaderId: string;
        readonly isLearner: boolean;
        readonly databaseBytes: number;
        readonly errors: readonly string[];
      }
    | { readonly error: string };
  /** By how much the member's clock is ahead of ours, in milliseconds; undefined where it does not say. */
  readonly clockAheadMs: number | undefined;
}

const good = (check: string, found: string): Finding => ({ check, verdict: 'good', found });
const warning = (check: string, found: string, advice: string): Finding => ({
  check,
  verdict: 'warning',
  found,
  advice,
});
const bad = (check: string, found: string, advice: string): Finding => ({
  check,
  verdict: 'bad',
  found,
  advice,
});

/** The quota that etcd has unless it is told otherwise. */
const DEFAULT_QUOTA_BYTES = 2 * 1024 ** 3;

/** The HTTP date has whole seconds. */
const CLOCK_STEP_MS = 2_000;

export function judgeMember({ endpoint, reached, clockAheadMs }: MemberReading): Finding[] {
  const check = `member ${endpoint}`;
  if ('error' in reached)
    return [
      bad(
        check,
        `cannot be reached: ${reached.error}`,
        /authentication|user name|permission/.test(reached.error)
          ? 'who are we? See --user and ETCDCTL_USER'
          : /certificate|TLS/.test(reached.error)
            ? (hintFor(reached.error) ?? 'see --cacert, --cert and --key')
            : 'is it up, and is this its client URL? A candidate goes to the others meanwhile',
      ),
    ];
  const found = [`etcd ${reached.version}`, `answers in ${Math.round(reached.roundTripMs)} ms`];
  if (reached.isLearner) found.push('learner');
  const findings = [
    ...(reached.leaderId === '0'
      ? [
          bad(
            check,
            `${found.join(', ')}, but knows no leader`,
            'the cluster has no quorum: bring members back; nothing can be elected until then',
          ),
        ]
      : [
          good(
            check,
            `${found.join(', ')}${reached.leaderId === reached.memberId ? ", leads etcd's own cluster" : ''}`,
          ),
        ]),
    ...judgeVersion(check, reached.version),
    ...judgeClock(check, clockAheadMs),
  ];
  if (reached.databaseBytes > DEFAULT_QUOTA_BYTES * 0.8)
    findings.push(
      warning(
        check,
        `its database has ${megabytes(reached.databaseBytes)} MB`,
        'compact and defragment, or raise --quota-backend-bytes: at its quota etcd refuses writes, new candidates among them',
      ),
    );
  return findings;
}

function judgeVersion(check: string, version: string): Finding[] {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
  if (major !== 3 || minor < 4)
    return [warning(check, `version ${version}`, 'this library is tested with etcd 3.4 and later')];
  // etcd's own record: "Stale reads caused by process pausing", #20418.
  if (minor === 4 && patch < 20)
    return [
      warning(
        check,
        `version ${version}`,
        'update to 3.4.20 or later: a paused member may serve stale reads before',
      ),
    ];
  return [];
}

function judgeClock(check: string, aheadMs: number | undefined): Finding[] {
  if (aheadMs === undefined || Math.abs(aheadMs) <= CLOCK_STEP_MS) return [];
  const seconds = Math.round(Math.abs(aheadMs) / 1_000);
  return [
    warning(
      check,
      `its clock is ${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'} ours`,
      'harmless for elections, which count elapsed time only; but logs will not line up: run NTP on both',
    ),
  ];
}

/** All members together: do they see one cluster? */
export function judgeCluster(readings: readonly MemberReading[], clusterSize: number | undefined): Finding[] {
  const reached = readings.flatMap((reading) => ('error' in reading.reached ? [] : [reading.reached]));
  if (reached.length === 0) return [];
  const leaders = new Set(reached.map(({ leaderId }) => leaderId).filter((id) => id !== '0'));
  const findings: Finding[] = [];
  if (leaders.size > 1)
    findings.push(
      bad(
        'cluster',
        `the members name ${leaders.size} different leaders`,
        'do all endpoints belong to one cluster? If so, look again in some seconds',
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
  if (clusterSize > 1 && readings.length === 1)
    findings.push(
      warning(
        'endpoints',
        'one of several members is named',
        'name them all: with one, its restart is an outage for you',
      ),
    );
  return findings;
}

export function judgeAlarms(alarms: readonly string[] | { readonly error: string }): Finding[] {
  if ('error' in alarms)
    return [
      warning(
        'alarms',
        `cannot be read: ${alarms.error}`,
        'with authentication on, only root may; look with etcdctl alarm list',
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
    return [bad('lease', `none to be had: ${lease.error}`, 'without a lease nobody can stand')];
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
        "etcd's least is 1.5 times its election timeout: after a crash the seat stays empty that long",
      ),
    ];
  return [good('lease', found)];
}

export type Permission = 'put' | 'read' | 'watch' | 'delete';

export function judgePermissions(prefix: string, refused: ReadonlyMap<Permission, string>): Finding[] {
  if (refused.size === 0) return [good('permissions', `may write, read, watch and delete under "${prefix}"`)];
  const byError = new Map<string, Permission[]>();
  for (const [what, error] of refused) {
    const reason = /permission ?denied/i.test(error) ? 'permission denied' : error;
    byError.set(reason, [...(byError.get(reason) ?? []), what]);
  }
  return [...byError].map(([error, whats]) =>
    bad(
      'permissions',
      `may not ${whats.join(', ')} under "${prefix}": ${error}`,
      `etcdctl role grant-permission ROLE --prefix=true readwrite ${prefix}`,
    ),
  );
}

/** etcd's disk, as a write sees it: put to acknowledged. */
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

const megabytes = (bytes: number): number => Math.round(bytes / 1024 / 1024);
