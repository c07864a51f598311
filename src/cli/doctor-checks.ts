/**
 * What the doctor's measurements mean: verdicts and advice. Pure.
 */
import { defectsOf, supportOf, upgradeWithinLine } from './etcd-defects.ts';
import { hintFor } from './plain-error.ts';

export interface Finding {
  readonly check: string;
  readonly verdict: 'good' | 'warning' | 'bad';
  /** What was found. */
  readonly found: string;
  /** What to do about it; undefined where nothing is to be done. */
  readonly advice?: string;
  /** More of what was found, a line each. */
  readonly details?: readonly string[];
}

/** What a member says of itself. */
export interface MemberStatus {
  readonly version: string;
  readonly roundTripMs: number;
  readonly clusterId: string;
  readonly memberId: string;
  /** `0` where the member knows of none. */
  readonly leaderId: string;
  readonly isLearner: boolean;
  readonly databaseBytes: number;
  readonly errors: readonly string[];
  /** How many different members have answered at this one address. */
  readonly membersBehind: number;
}

/** Why there is no status: etcd is not there, does not answer, asks who we are, or it is something else that answers. */
export type Failure = 'unreachable' | 'silent' | 'authentication' | 'permission' | 'tls' | 'not-etcd';

export interface MemberReading {
  readonly endpoint: string;
  readonly reached: MemberStatus | { readonly failure: Failure; readonly error: string };
  /** What plain HTTP on the same port says of the version; undefined where there is no answer, or not etcd's. */
  readonly httpVersion?: string | undefined;
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

/** From an error's plain text to its kind. */
export function failureOf(error: string): Failure {
  if (/authentication failed|user name is empty|invalid auth token/i.test(error)) return 'authentication';
  if (/permission ?denied/i.test(error)) return 'permission';
  if (/certificate|TLS|SSL/i.test(error)) return 'tls';
  if (/HTTP status|Protocol error|unimplemented|unknown service|invalid content-type/i.test(error))
    return 'not-etcd';
  return /deadline exceeded|no answer within/i.test(error) ? 'silent' : 'unreachable';
}

/** @param isMissed whether the others can do without it: the cluster has a quorum. */
export function judgeMember(reading: MemberReading, isMissed = true): Finding[] {
  const { endpoint, reached, clockAheadMs } = reading;
  const check = `member ${endpoint}`;
  if ('failure' in reached) return judgeFailure(check, reading, reached, isMissed);
  const found = [`etcd ${reached.version}`, `answers in ${Math.round(reached.roundTripMs)} ms`];
  if (reached.leaderId === reached.memberId) found.push("leads etcd's own cluster");
  const findings =
    reached.leaderId === '0'
      ? [
          isMissed
            ? bad(
                check,
                `${found.join(', ')}, but knows no leader`,
                'the cluster has no quorum: bring members back; nothing can be elected until then',
              )
            : warning(
                check,
                `${found.join(', ')}, but knows no leader`,
                'the other members do: is this one cut off from them?',
              ),
        ]
      : [good(check, found.join(', '))];
  findings.push(...judgeClock(check, clockAheadMs));
  if (reached.isLearner)
    findings.push(
      warning(
        check,
        'is a learner: it does not vote, and refuses writes',
        'promote it (etcdctl member promote), or take it off the endpoints until then: a write sent to it fails',
      ),
    );
  if (reached.membersBehind > 1)
    findings.push(
      warning(
        check,
        `${reached.membersBehind} members answer at this one address: a gateway or a load balancer`,
        'it works; but if you name the members themselves, a client can pass over a silent one',
      ),
    );
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

function judgeFailure(
  check: string,
  { httpVersion }: MemberReading,
  { failure, error }: { readonly failure: Failure; readonly error: string },
  isMissed: boolean,
): Finding[] {
  const away = isMissed ? bad : warning;
  switch (failure) {
    case 'authentication':
      return [bad(check, `authentication failed: ${error}`, 'see --user and ETCDCTL_USER')];
    case 'permission':
      return [
        warning(
          check,
          `etcd ${httpVersion ?? 'there'} answers, but shows its status to root only`,
          'nothing is wrong with that; with --user root this page says more',
        ),
      ];
    case 'tls':
      return [bad(check, `TLS refused: ${error}`, hintFor(error) ?? 'see --cacert, --cert and --key')];
    case 'not-etcd':
      return [
        bad(
          check,
          `something answers, but it is not etcd: ${error}`,
          "is this etcd's client URL? A proxy in front of it must speak gRPC (HTTP/2)",
        ),
      ];
    case 'silent':
      return [
        away(
          check,
          `does not answer: ${error}`,
          'is it overloaded, stopped, or behind a firewall that drops packets? A candidate goes to the others meanwhile',
        ),
      ];
    case 'unreachable':
      return [
        away(
          check,
          `cannot be reached: ${error}`,
          'is it up, and is this its client URL? A candidate goes to the others meanwhile',
        ),
      ];
  }
}

/** Each version once, however many members have it. */
export function judgeVersions(readings: readonly MemberReading[]): Finding[] {
  const versions = new Set(
    readings.flatMap(({ reached, httpVersion }) =>
      'failure' in reached ? (httpVersion ?? []) : reached.version,
    ),
  );
  return [...versions].flatMap(judgeVersion);
}

function judgeVersion(version: string): Finding[] {
  const check = `etcd ${version}`;
  const support = supportOf(version);
  if (support.state === 'too-old')
    return [warning(check, 'is not tested', 'this library is tested with etcd 3.4 and later: upgrade etcd')];
  const findings: Finding[] = [];
  if (support.state === 'ended')
    findings.push(
      warning(
        check,
        `${support.line.line} reached its end of life in ${support.line.end}, with ${support.line.last}`,
        'no defect is mended any more: upgrade to the last release of the line, then to the next one',
      ),
    );
  const known = defectsOf(version);
  const canBeMended = known.filter(({ defect }) => defect.affected.some(({ fixed }) => fixed !== undefined));
  if (canBeMended.length === 0) return findings;
  const within = upgradeWithinLine(version);
  const left = canBeMended.filter(({ fixedIn }) => fixedIn === undefined);
  const isSplit = known.some(({ defect }) => defect.id === '#13766');
  findings.push({
    check,
    verdict: isSplit ? 'bad' : 'warning',
    found: `${canBeMended.length} known ${canBeMended.length === 1 ? 'defect' : 'defects'} that an election can meet`,
    advice: [
      ...(within === undefined ? [] : [`upgrade to ${within} or later`]),
      ...(left.length === 0
        ? []
        : [`only a later line mends ${left.map(({ defect }) => defect.id).join(', ')}`]),
    ].join('; '),
    details: canBeMended.map(
      ({ defect, fixedIn }) =>
        `${defect.id}: ${defect.symptom}${fixedIn === undefined ? '' : ` (until ${fixedIn})`}`,
    ),
  });
  return findings;
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

/** All members together: do they form one cluster? */
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

/** Members of another cluster among the endpoints: then two leaders can exist, each in its own. */
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

/** A grpc-proxy gives watches IDs of its own, whatever the client chose. */
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
        "etcd's least is 1.5 times its election timeout: after a crash the seat stays empty that long",
      ),
    ];
  return [good('lease', found)];
}

export type Permission = 'put' | 'read' | 'watch' | 'delete';

/** @param failed what was tried and failed, with the error; a time-out says nothing about permissions. */
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
