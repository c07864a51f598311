/**
 * Turns the answers of single members into verdicts and advice. Pure.
 */
import { NOT_RESOLVED } from '../../core/plain-cause.ts';
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
import { hintFor, type Failure } from '../plain-error.ts';

const DEFAULT_QUOTA_BYTES = 2 * 1024 ** 3;

/** The clocks may differ by this much without a warning, because HTTP gives the time in whole seconds. */
const CLOCK_STEP_MS = 2_000;

/**
 * @param hasNoQuorum whether the cluster has no quorum, or may have none. If so, a member that does not answer is an
 *   error.
 */
export function judgeMember(reading: MemberReading, hasNoQuorum = true): Finding[] {
  const { endpoint, reached, clockAheadMs } = reading;
  const check = `member ${endpoint}`;
  if ('failure' in reached) return [judgeFailure(check, reading, reached, hasNoQuorum)];
  const found = [`etcd ${reached.version}`, `answers in ${Math.round(reached.roundTripMs)} ms`];
  if (reached.leaderId === reached.memberId) found.push("leads etcd's own cluster");
  const findings = [judgeLeader(check, reached, found.join(', '), hasNoQuorum)];
  findings.push(...judgeClock(check, clockAheadMs));
  if (reached.isLearner)
    findings.push(
      warning(
        check,
        'is a learner: it does not vote, and refuses writes',
        'a write that is sent to it fails: promote it (etcdctl member promote), or remove it from the endpoints',
      ),
    );
  if (reached.membersBehind > 1)
    findings.push(
      warning(
        check,
        `${reached.membersBehind} members answer at this one address: a gateway or a load balancer`,
        'this works, but list the members themselves: then a client can skip a silent one',
      ),
    );
  if (reached.databaseBytes > DEFAULT_QUOTA_BYTES * 0.8)
    findings.push(
      warning(
        check,
        `its database has ${megabytes(reached.databaseBytes)} MB`,
        'at its quota etcd refuses writes, so no candidate can enter: compact and defragment, or raise --quota-backend-bytes',
      ),
    );
  return findings;
}

function judgeLeader(
  check: string,
  { leaderId }: MemberStatus,
  found: string,
  hasNoQuorum: boolean,
): Finding {
  if (leaderId !== '0') return good(check, found);
  return hasNoQuorum
    ? bad(
        check,
        `${found}, but knows no leader`,
        'the cluster has no quorum, so no replica can be elected: start the missing members',
      )
    : warning(
        check,
        `${found}, but knows no leader`,
        'other members know a leader: check the network between the members',
      );
}

function judgeFailure(
  check: string,
  { httpVersion }: MemberReading,
  { failure, error }: { readonly failure: Failure; readonly error: string },
  hasNoQuorum: boolean,
): Finding {
  const absent = hasNoQuorum ? bad : warning;
  const others = hasNoQuorum ? '' : '; meanwhile candidates use the other members';
  switch (failure) {
    case 'authentication':
      return bad(check, `authentication failed: ${error}`, hintFor(error) ?? 'check --user and ETCDCTL_USER');
    case 'permission':
      return warning(
        check,
        `etcd${httpVersion === undefined ? '' : ` ${httpVersion}`} answers, but shows its status to root only`,
        'elections are not affected; run doctor with --user root to see the status',
      );
    case 'tls':
      return bad(check, `TLS refused: ${error}`, hintFor(error) ?? 'check --cacert, --cert and --key');
    case 'not-etcd':
      return bad(
        check,
        `something answers, but it is not etcd: ${error}`,
        "check that this is etcd's client URL; a proxy in front of it must speak gRPC (HTTP/2)",
      );
    case 'alarm':
      return bad(check, `answers, but refuses: ${error}`, hintFor(error) ?? 'run etcdctl alarm list');
    case 'silent':
      return absent(
        check,
        `does not answer: ${error}`,
        error.includes(NOT_RESOLVED)
          ? `the name server does not answer: check DNS on this machine${others}`
          : `it may be overloaded, stopped, or behind a firewall that drops packets${others}`,
      );
    case 'clusters': // not the failure of a single member
    case 'unreachable':
      return judgeUnreachable(check, { httpVersion, error }, absent, others);
  }
}

/** etcd's HTTP server closes a connection on which a client speaks gRPC. */
const CLOSED_AT_ONCE = /Failed to connect$|ECONNRESET|EPIPE/;

function judgeUnreachable(
  check: string,
  { httpVersion, error }: { readonly httpVersion: string | undefined; readonly error: string },
  absent: typeof bad,
  others: string,
): Finding {
  if (httpVersion !== undefined && CLOSED_AT_ONCE.test(error))
    return absent(
      check,
      `etcd ${httpVersion} answers HTTP here, but not gRPC: ${error}`,
      `this is an address of --listen-client-http-urls: list one of --listen-client-urls instead${others}`,
    );
  return absent(
    check,
    `cannot be reached: ${error}`,
    `${hintFor(error) ?? 'check that it runs, and that this is its client URL'}${others}`,
  );
}

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
    return [warning(check, 'is not tested', 'this library is tested with etcd 3.4 to 3.7: use one of them')];
  const findings: Finding[] = [];
  if (support.state === 'newer')
    findings.push(
      warning(
        check,
        'is not tested',
        'this library is tested with etcd 3.4 to 3.7; try your service with this version',
      ),
    );
  if (support.state === 'ended')
    findings.push(
      warning(
        check,
        `${support.line.line} reached its end of life in ${support.line.end}, with ${support.line.last}`,
        'its defects are no longer fixed: upgrade first to the last release of this line, then to the next line',
      ),
    );
  const known = defectsOf(version);
  const fixable = known.filter(({ defect }) => defect.affected.some(({ fixed }) => fixed !== undefined));
  if (fixable.length === 0) return findings;
  const within = upgradeWithinLine(version);
  const left = fixable.filter(({ fixedIn }) => fixedIn === undefined);
  const isSplit = known.some(({ defect }) => defect.id === '#13766');
  findings.push({
    check,
    verdict: isSplit ? 'bad' : 'warning',
    found: `${fixable.length} known ${fixable.length === 1 ? 'defect' : 'defects'} that can affect an election`,
    advice: [
      ...(within === undefined ? [] : [`upgrade to ${within} or later`]),
      ...(left.length === 0
        ? []
        : [`only a later line fixes ${left.map(({ defect }) => defect.id).join(', ')}`]),
    ].join('; '),
    details: fixable.map(
      ({ defect, fixedIn }) =>
        `${defect.id}: ${defect.symptom}${fixedIn === undefined ? '' : ` (fixed in ${fixedIn})`}`,
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
      'elections are not affected, but the times in logs will differ: run NTP on both machines',
    ),
  ];
}
