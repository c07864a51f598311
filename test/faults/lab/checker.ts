/**
 * Proves from a recorded history what the promises say, or names what breaks them. Pure: its own tests feed it
 * histories made by hand.
 */
import { wrongLogs } from './checker-log.ts';
import type { Evidence, FaultRecord, Finding, HistoryCut, Stretch } from './evidence.ts';
import type { Acting } from './history.ts';

export interface Gap extends Stretch {
  readonly ms: number;
  readonly limitMs: number;
  readonly faults: readonly FaultRecord[];
}

/** Everything that breaks a promise about safety. */
export function unsafe(evidence: Evidence): Finding[] {
  return [
    ...overlaps(evidence).filter(({ promise, ms = 0 }) => promise === 'S2' || ms > evidence.grantedTtlMs),
    ...(evidence.hasTokens ? tokenDisorder(evidence) : []),
    ...unexplained(evidence),
    ...releasedTooEarly(evidence),
    ...ledUnderAgain(evidence),
    ...wrongLogs(evidence),
  ];
}

/** How often history had been cut when a term began. */
const epochOf = ({ electedMs }: Acting, cuts: readonly HistoryCut[]): number =>
  cuts.filter(({ atMs }) => atMs <= electedMs).length;

/**
 * S2, S3: at no instant do two terms act, whoever holds them. Where the key was taken away before the lease that etcd
 * granted was over, the next leader learns of it when the last one does: such an overlap comes under S4, and may be
 * as long as a watch may be silent. So does whoever acts {@link outOfTurn}, and whose lease etcd forgot ({@link isForgottenBeside}).
 */
export function overlaps(evidence: Pick<Evidence, 'acting' | 'faults' | 'cuts' | 'grantedTtlMs'>): Finding[] {
  const { acting, faults } = evidence;
  const inOrder = [...acting].sort((a, b) => a.firstMs - b.firstMs);
  const findings: Finding[] = [];
  let last: Acting | undefined;
  for (const term of inOrder) {
    const before = last;
    if (before !== undefined && term.firstMs <= before.lastMs) {
      const ms = Math.min(before.lastMs, term.lastMs) - term.firstMs;
      const isForgotten = isForgottenBeside(before, term, evidence);
      const evicted =
        byOperator(before, term, faults) || byEtcd(before, term, faults) || isExcused(before, term, faults);
      findings.push({
        promise: evicted || isForgotten ? 'S4' : 'S2',
        byEtcd: evicted && !byOperator(before, term, faults),
        isForgotten,
        what: `two leaders for ${ms.toFixed(1)} ms: ${name(before)} until ${before.lastMs.toFixed(1)}, ended by ${before.endedBecause ?? 'nothing'}, ${name(term)} from ${term.firstMs.toFixed(1)}`,
        ms,
      });
    }
    if (last === undefined || term.lastMs > last.lastMs) last = term;
  }
  return findings;
}

/**
 * A history that is cut takes the lease with it, unless the key came back. Until its deadline nobody can tell the leader: it
 * counts from the last renewal, and none got through since the cut.
 */
function isForgottenBeside(
  one: Acting,
  another: Acting,
  { cuts, grantedTtlMs }: Pick<Evidence, 'cuts' | 'grantedTtlMs'>,
): boolean {
  const [old, fresh] = one.electedMs < another.electedMs ? [one, another] : [another, one];
  return cuts.some(
    ({ fromMs, atMs, keysBack }) =>
      old.electedMs < atMs &&
      fresh.electedMs >= atMs &&
      old.lastMs <= fromMs + grantedTtlMs &&
      !keysBack.includes(old.token),
  );
}

/** Somebody deleted the key, or revoked the lease. */
const byOperator = (before: Acting, after: Acting, faults: readonly FaultRecord[]): boolean =>
  faults.some(
    ({ evicts, fromMs }) => evicts === before.process && fromMs >= before.firstMs && fromMs <= after.firstMs,
  );

/** An etcd leader that was frozen revokes, when it comes back, leases that its successor renewed: etcd issue 15247. */
const byEtcd = (before: Acting, after: Acting, faults: readonly FaultRecord[]): boolean =>
  before.endedBecause === 'evicted' &&
  faults.some(
    ({ kind, fromMs, toMs }) =>
      MAY_REVOKE_EARLY.has(kind) &&
      fromMs <= before.lastMs &&
      toMs >= before.lastMs - THAW_MS &&
      (kind !== HANGING_DISK || after.firstMs >= toMs - LIFT_MS),
  );

/** While its disk hangs a member can revoke nothing. So a second leader is excused only where it began after that. */
const HANGING_DISK = 'hang-disk-of-etcd-leader';

/** How long it may take to lift that fault, in milliseconds. */
const LIFT_MS = 200;

/** Faults that leave two members of etcd believing that they lead it. Nothing else excuses a second leader of ours. */
const MAY_REVOKE_EARLY: ReadonlySet<string> = new Set([
  'freeze-etcd-leader',
  HANGING_DISK,
  'isolate-etcd-leader',
  'mute-etcd-leader',
  'deafen-etcd-leader',
  'quorum-lost',
]);

/** How long after a thaw etcd may still act on what it believed before, in milliseconds. */
const THAW_MS = 1_000;

/**
 * Where several keys were taken away at once, who is told of his predecessor's before he is told of his own may act in
 * between, beside or after one of a larger token: the fence stops him, and S4 tells him.
 */
export function outOfTurn(evidence: Pick<Evidence, 'acting' | 'faults' | 'cuts'>): Acting[] {
  return inDisorder(evidence)
    .filter(([before, term]) => isExcused(before, term, evidence.faults))
    .map(([, term]) => term);
}

const isExcused = (before: Acting, term: Acting, faults: readonly FaultRecord[]): boolean =>
  term.token < before.token && (byOperator(term, term, faults) || byEtcd(term, term, faults));

/** S1: who acts later has a larger token, unless he acts {@link outOfTurn}; nobody acts twice under one. */
function tokenDisorder(evidence: Evidence): Finding[] {
  return inDisorder(evidence)
    .filter(([before, term]) => !isExcused(before, term, evidence.faults))
    .map(([before, term]) => ({
      promise: 'S1',
      what: `tokens do not increase: ${name(before)}, then ${name(term)}`,
    }));
}

/** Terms, each with the one that began before it in the same epoch, whose tokens are not in the order of their beginnings. */
function inDisorder({ acting, cuts }: Pick<Evidence, 'acting' | 'cuts'>): [before: Acting, term: Acting][] {
  const byEpoch = Array.from({ length: cuts.length + 1 }, (_, epoch) =>
    acting.filter((term) => epochOf(term, cuts) === epoch).sort((a, b) => a.firstMs - b.firstMs),
  );
  return byEpoch.flatMap((inOrder) =>
    inOrder
      .slice(1)
      .map((term, index): [Acting, Acting] => [inOrder[index]!, term])
      .filter(([before, term]) => term.token <= before.token),
  );
}

/** S1: a key that comes back with a snapshot is led under by nobody who has led under it before. */
function ledUnderAgain({ acting, cuts }: Evidence): Finding[] {
  return cuts.flatMap(({ atMs, keysBack }, index) =>
    acting
      .filter((term) => epochOf(term, cuts) === index + 1 && keysBack.includes(term.token))
      .filter((term) =>
        acting.some(
          (one) => one.process === term.process && one.token === term.token && one.electedMs < atMs,
        ),
      )
      .map((term) => ({ promise: 'S1', what: `${name(term)} leads again under a key that came back` })),
  );
}

/** A term ends with a reason, or with its process, or with the run. */
function unexplained({ acting, kills, endMs }: Evidence): Finding[] {
  return acting
    .filter((term) => term.endedBecause === undefined)
    .filter((term) => !kills.some(({ process, atMs }) => process === term.process && atMs >= term.lastMs))
    .filter((term) => term.lastMs < endMs)
    .map((term) => ({ promise: 'S4', what: `${name(term)} stopped without giving a reason` }));
}

/** Ways for a term to end in which we give up the seat, rather than lose it. */
const ORDERLY: ReadonlySet<string | undefined> = new Set(['stepped-down', 'resigned', 'closed', 'aborted']);

/** S5: whoever gives up the seat stops the work first. A fault on the way may take the seat all the same. */
function releasedTooEarly({ acting, faults }: Evidence): Finding[] {
  return acting.flatMap((term): Finding[] => {
    const { workedUntilMs, lastMs } = term;
    if (workedUntilMs === undefined || !ORDERLY.has(term.endedBecause)) return [];
    if (faults.some((fault) => fault.fromMs <= workedUntilMs && fault.toMs >= lastMs)) return [];
    const next = acting.find((other) => other.firstMs > term.firstMs && other.firstMs <= workedUntilMs);
    if (next === undefined) return [];
    const ms = workedUntilMs - next.firstMs;
    return [
      {
        promise: 'S5',
        what: `${name(next)} led ${ms.toFixed(1)} ms before the work of ${name(term)} stopped`,
        ms,
      },
    ];
  });
}

const name = (term: Acting): string => `${term.process} (token ${term.token})`;

/** Limits of design.md, and what this lab adds for its own noise. */
const EXPIRY_SWEEP_MS = 750; // L2: etcd looks for expired leases each 500 ms, then commits the deletion
const AFTER_OUTAGE_MS = 3_000; // L5
const ETCD_ELECTION_MS = 4_000; // 1 to 2 s each, and votes may split once
const ETCD_EXTENSION_MS = 1_000; // what a new etcd leader adds to every lease

/** L2, L5: the stretches without an acting leader, each with the longest that the faults in it allow. */
export function gaps({ acting, faults, grantedTtlMs, endMs }: Evidence, noiseMs: number): Gap[] {
  const inOrder = [...acting].sort((a, b) => a.firstMs - b.firstMs);
  const found: Gap[] = [];
  let coveredUntilMs: number | undefined;
  const leaderlessUntil = (toMs: number): void => {
    if (coveredUntilMs === undefined || toMs <= coveredUntilMs) return;
    const gap = { fromMs: coveredUntilMs, toMs };
    found.push({ ...gap, ms: gap.toMs - gap.fromMs, ...limitOf(gap, faults, grantedTtlMs, noiseMs) });
  };
  for (const term of inOrder) {
    leaderlessUntil(term.firstMs);
    coveredUntilMs = Math.max(coveredUntilMs ?? 0, term.lastMs);
  }
  leaderlessUntil(endMs); // nobody came back
  return found;
}

/**
 * Without a fault, none. Each fault in the gap may cost one expiry (each may hit whoever was to lead next); one that changes etcd's
 * leader costs that election, and one more TTL because every lease is renewed by it; an outage costs itself and 3 s.
 */
function limitOf(
  gap: Stretch,
  faults: readonly FaultRecord[],
  grantedTtlMs: number,
  noiseMs: number,
): { limitMs: number; faults: FaultRecord[] } {
  const within = faults.filter(
    (fault) => fault.fromMs <= gap.toMs && fault.toMs >= gap.fromMs - 2 * grantedTtlMs,
  );
  const crashMs = within.length * (grantedTtlMs + EXPIRY_SWEEP_MS);
  const etcdMs = within.some((fault) => fault.touchesEtcd)
    ? grantedTtlMs + ETCD_ELECTION_MS + ETCD_EXTENSION_MS
    : 0;
  const outages = within.filter((fault) => fault.isOutage);
  const outageMs = outages.reduce((sum, outage) => sum + lengthWithin(outage, gap) + AFTER_OUTAGE_MS, 0);
  return { limitMs: crashMs + etcdMs + outageMs + noiseMs, faults: within };
}

const lengthWithin = (stretch: Stretch, outer: Stretch): number =>
  Math.max(0, Math.min(stretch.toMs, outer.toMs) - Math.max(stretch.fromMs, outer.fromMs));

export function tooLong(all: readonly Gap[]): Finding[] {
  return all
    .filter(({ ms, limitMs }) => ms > limitMs)
    .map(({ ms, limitMs, faults }) => ({
      promise: faults.some((fault) => fault.isOutage) ? 'L5' : 'L2',
      what: `no leader for ${ms.toFixed(0)} ms, allowed are ${limitMs.toFixed(0)} ms after: ${faults.map(({ what }) => what).join('; ') || 'no fault'}`,
      ms,
    }));
}
