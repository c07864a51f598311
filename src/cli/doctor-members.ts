/**
 * Turns the answers of single members into verdicts and advice. Pure.
 */
import {
  bad,
  good,
  megabytes,
  warning,
  type Finding,
  type MemberReading,
  type MemberStatus,
} from './doctor-findings.ts';
import { defectsOf, supportOf, upgradeWithinLine } from './etcd-defects.ts';
import { hintFor, type Failure } from './plain-error.ts';

/** etcd's default quota. */
const DEFAULT_QUOTA_BYTES = 2 * 1024 ** 3;

/** The HTTP date has whole seconds. */
const CLOCK_STEP_MS = 2_000;

/** @param isMissed whether the cluster has a quorum without this member. */
export function judgeMember(reading: MemberReading, isMissed = true): Finding[] {
  const { endpoint, reached, clockAheadMs } = reading;
  const check = `member ${endpoint}`;
  if ('failure' in reached) return [judgeFailure(check, reading, reached, isMissed)];
  const found = [`etcd ${reached.version}`, `answers in ${Math.round(reached.roundTripMs)} ms`];
  if (reached.leaderId === reached.memberId) found.push("leads etcd's own cluster");
  const findings = [judgeLeader(check, reached, found.join(', '), isMissed)];
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

/** Checks whether the member knows etcd's own leader. */
function judgeLeader(check: string, { leaderId }: MemberStatus, found: string, isMissed: boolean): Finding {
  if (leaderId !== '0') return good(check, found);
  return isMissed
    ? bad(
        check,
        `${found}, but knows no leader`,
        'the cluster has no quorum: bring members back; nothing can be elected until then',
      )
    : warning(check, `${found}, but knows no leader`, 'the other members do: is this one cut off from them?');
}

function judgeFailure(
  check: string,
  { httpVersion }: MemberReading,
  { failure, error }: { readonly failure: Failure; readonly error: string },
  isMissed: boolean,
): Finding {
  const away = isMissed ? bad : warning;
  switch (failure) {
    case 'authentication':
      return bad(check, `authentication failed: ${error}`, hintFor(error) ?? 'see --user and ETCDCTL_USER');
    case 'permission':
      return warning(
        check,
        `etcd ${httpVersion ?? 'there'} answers, but shows its status to root only`,
        'nothing is wrong with that; with --user root this page says more',
      );
    case 'tls':
      return bad(check, `TLS refused: ${error}`, hintFor(error) ?? 'see --cacert, --cert and --key');
    case 'not-etcd':
      return bad(
        check,
        `something answers, but it is not etcd: ${error}`,
        "is this etcd's client URL? A proxy in front of it must speak gRPC (HTTP/2)",
      );
    case 'silent':
      return away(
        check,
        `does not answer: ${error}`,
        `is it overloaded, stopped, or behind a firewall that drops packets?${isMissed ? '' : ' A candidate goes to the others meanwhile'}`,
      );
    case 'unreachable':
      return away(
        check,
        `cannot be reached: ${error}`,
        `${hintFor(error) ?? 'is it up, and is this its client URL?'}${isMissed ? '' : '. A candidate goes to the others meanwhile'}`,
      );
  }
}

/** Judges the version of etcd, once for all members that run it. */
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
