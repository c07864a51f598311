/**
 * Judges the promises by a recorded history, and names each violation. Pure: its own tests feed it artificial
 * histories.
 */
import { wrongLogs } from './checker-log.ts';
import type { Evidence, FaultRecord, Finding, HistoryCut, Stretch } from './evidence.ts';
import type { Acting } from './history.ts';

export interface Gap extends Stretch {
  readonly ms: number;
  readonly limitMs: number;
  /** How much of the limit is due to the noise of the machine, in milliseconds. */
  readonly noiseMs: number;
  readonly faults: readonly FaultRecord[];
}

/** Every violation of a safety promise. */
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

/** How many cuts of history precede the term. */
const epochOf = ({ electedMs }: Acting, cuts: readonly HistoryCut[]): number =>
  cuts.filter(({ atMs }) => atMs <= electedMs).length;

/**
 * S2, S3: two terms never act at the same instant, in any process. If the key is taken before the granted lease
 * ends, the old and the next leader learn of it at the same time. Such an overlap counts under S4, and may last
 * as long as a watch may be silent. The same holds for a term that is {@link outOfTurn}, and for one whose lease
 * etcd forgot ({@link isForgottenBeside}).
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
        byOperator(before, term, faults) || byEtcd(before, term, faults) || isExcused(before, term, evidence);
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
 * A cut of history deletes the lease, unless the key is restored. The leader cannot learn of it before its
 * deadline. The deadline follows from its last renewal, and no renewal succeeded since the cut.
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

/** An operator deleted the key, or revoked the lease. */
const byOperator = (before: Acting, after: Acting, faults: readonly FaultRecord[]): boolean =>
  faults.some(
    ({ evicts, fromMs }) => evicts === before.process && fromMs >= before.firstMs && fromMs <= after.firstMs,
  );

/** An etcd leader that returns from a freeze revokes leases that its successor renewed: etcd issue 15247. */
const byEtcd = (before: Acting, after: Acting, faults: readonly FaultRecord[]): boolean =>
  before.endedBecause === 'evicted' &&
  faults.some(
    ({ kind, fromMs, toMs }) =>
      MAY_REVOKE_EARLY.has(kind) &&
      fromMs <= before.lastMs &&
      toMs >= before.lastMs - THAW_MS &&
      (kind !== HANGING_DISK || after.firstMs >= toMs - LIFT_MS),
  );

/** A member cannot revoke while its disk hangs. A second leader is therefore excused only if it started afterwards. */
const HANGING_DISK = 'hang-disk-of-etcd-leader';

/** How long the removal of that fault may take, in milliseconds. */
const LIFT_MS = 200;

/** Faults after which two members of etcd believe that they lead. Nothing else excuses a second leader of ours. */
const MAY_REVOKE_EARLY: ReadonlySet<string> = new Set([
  'freeze-etcd-leader',
  HANGING_DISK,
  'isolate-etcd-leader',
  'mute-etcd-leader',
  'deafen-etcd-leader',
  'quorum-lost',
]);

/** How long after a thaw etcd may still act on its old belief, in milliseconds. */
const THAW_MS = 1_000;

/**
 * If several keys are taken at once, a candidate may see its predecessor's deletion before its own. It may then
 * act between, beside or after terms with larger tokens. The fence stops its writes, and S4 ends its term.
 */
export function outOfTurn(evidence: Pick<Evidence, 'acting' | 'faults' | 'cuts' | 'grantedTtlMs'>): Acting[] {
  return inDisorder(evidence)
    .filter(([before, term]) => isExcused(before, term, evidence))
    .map(([, term]) => term);
}

const isExcused = (
  before: Acting,
  term: Acting,
  { faults, grantedTtlMs }: Pick<Evidence, 'faults' | 'grantedTtlMs'>,
): boolean =>
  term.token < before.token && (takenBefore(term, faults, grantedTtlMs) || byEtcd(term, term, faults));

/** An operator took the key just before the term, and the process did not know: it was blocked, or its network slow. */
const takenBefore = (term: Acting, faults: readonly FaultRecord[], grantedTtlMs: number): boolean =>
  term.endedBecause === 'evicted' &&
  faults.some(
    ({ evicts, fromMs }) =>
      evicts === term.process && fromMs <= term.firstMs && fromMs >= term.firstMs - grantedTtlMs,
  );

/** S1: a later term has a larger token, unless it is {@link outOfTurn}. No token has two terms. */
function tokenDisorder(evidence: Evidence): Finding[] {
  return inDisorder(evidence)
    .filter(([before, term]) => !isExcused(before, term, evidence))
    .map(([before, term]) => ({
      promise: 'S1',
      what: `tokens do not increase: ${name(before)}, then ${name(term)}`,
    }));
}

/** Terms whose token is not larger than that of an earlier term of the epoch, each with that earlier term. */
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

/** S1: no process leads under a restored key under which it has led before. */
function ledUnderAgain({ acting, cuts }: Evidence): Finding[] {
  return cuts.flatMap(({ atMs, keysBack }, index) =>
    acting
      .filter((term) => epochOf(term, cuts) === index + 1 && keysBack.includes(term.token))
      .filter((term) =>
        acting.some(
          (one) =>
            one.process === term.process &&
            one.token === term.token &&
            one.electedMs < atMs &&
            // A wipe in between: then another key got the same token.
            cuts.slice(epochOf(one, cuts), index).every((cut) => cut.keysBack.includes(one.token)),
        ),
      )
      .map((term) => ({ promise: 'S1', what: `${name(term)} leads again under a key that came back` })),
  );
}

/** A term ends with a reason, with its process, or with the run. */
function unexplained({ acting, kills, endMs }: Evidence): Finding[] {
  return acting
    .filter((term) => term.endedBecause === undefined)
    .filter((term) => !kills.some(({ process, atMs }) => process === term.process && atMs >= term.lastMs))
    .filter((term) => term.lastMs < endMs)
    .map((term) => ({ promise: 'S4', what: `${name(term)} stopped without giving a reason` }));
}

/** Reasons with which we release the key ourselves. */
const ORDERLY: ReadonlySet<string | undefined> = new Set(['stepped-down', 'resigned', 'closed', 'aborted']);

/**
 * S5: the work stops before its leader releases the key. A fault may still remove the key earlier. It may also cost the lease, up to one
 * TTL after its own end.
 */
function releasedTooEarly({ acting, faults, grantedTtlMs }: Evidence): Finding[] {
  return acting.flatMap((term): Finding[] => {
    const { workedUntilMs, lastMs } = term;
    if (workedUntilMs === undefined || !ORDERLY.has(term.endedBecause)) return [];
    if (faults.some((fault) => fault.fromMs <= workedUntilMs && fault.toMs >= lastMs - grantedTtlMs))
      return [];
    const next = acting.find(
      (other) => other.firstMs > term.firstMs && other.firstMs <= workedUntilMs && other.token > term.token,
    );
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

/** The limits of design.md, and additions for the noise of this lab. */
const EXPIRY_SWEEP_MS = 750; // L2: etcd checks for expired leases every 500 ms, then commits the deletion
const AFTER_OUTAGE_MS = 3_000; // L5
const ETCD_ELECTION_MS = 4_000; // 1 to 2 s each, and votes may split once
const ETCD_EXTENSION_MS = 1_000; // a new etcd leader extends every lease by this

/**
 * L2, L5: the periods without an acting leader, each with the longest duration that its faults allow.
 *
 * @param noiseIn how long the machine may delay what happens in such a period, in milliseconds.
 */
export function gaps(
  { acting, faults, nobodyStands = [], grantedTtlMs, endMs }: Evidence,
  noiseIn: (gap: Stretch) => number,
): Gap[] {
  const inOrder = [...acting].sort((a, b) => a.firstMs - b.firstMs);
  const found: Gap[] = [];
  let coveredUntilMs: number | undefined;
  /** How long the work of the last leader was stopping. The next leader waits for it. */
  let drainedMs = 0;
  const leaderlessUntil = (toMs: number): void => {
    if (coveredUntilMs === undefined || toMs <= coveredUntilMs) return;
    const gap = { fromMs: coveredUntilMs, toMs };
    const noiseMs = noiseIn(gap);
    const absentMs = nobodyStands.reduce((sum, absence) => sum + lengthWithin(absence, gap), 0);
    const { limitMs, faults: within } = limitOf(gap, faults, grantedTtlMs, noiseMs);
    found.push({
      ...gap,
      ms: gap.toMs - gap.fromMs,
      noiseMs,
      limitMs: limitMs + drainedMs + absentMs,
      faults: within,
    });
  };
  for (const term of inOrder) {
    leaderlessUntil(term.firstMs);
    if (coveredUntilMs !== undefined && term.lastMs <= coveredUntilMs) continue;
    coveredUntilMs = term.lastMs;
    drainedMs = ORDERLY.has(term.endedBecause) ? (term.workedUntilMs ?? term.lastMs) - term.lastMs : 0;
  }
  leaderlessUntil(endMs); // no leader returned
  return found;
}

/**
 * Without a fault, no gap is allowed. Each fault in the gap may cost one expiry, because each may hit the next
 * leader. A fault that changes etcd's leader costs that election and one more TTL, because the new leader renews
 * every lease. An outage costs its own length plus 3 s.
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

export const lengthWithin = (stretch: Stretch, outer: Stretch): number =>
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
