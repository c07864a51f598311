/** What the checker judges after a run, and its verdict. */
import type { Acting, Append } from './history.ts';

/** An entry of a log at the end of the run. */
export interface LogEntry {
  readonly process: string;
  readonly token: bigint;
  readonly counter: number;
  /** Its place in the order of commits. */
  readonly order: bigint;
  /** How often it was written: 1 unless a write was repeated. */
  readonly times: number;
}

/** A period in milliseconds, on the clock of the stamps. */
export interface Stretch {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface FaultRecord extends Stretch {
  readonly kind: string;
  readonly what: string;
  /** Whether etcd's own leader may have changed, or answers are late: leases then last longer. */
  readonly touchesEtcd: boolean;
  /** Whether no candidate could lead: no quorum, or no way to it. */
  readonly isOutage: boolean;
  /** The process whose key an operator deleted: S4 covers that, S2 does not. */
  readonly evicts?: string | undefined;
  /** The process that it hits, if it hits one. Only the simulation knows it. */
  readonly hits?: string | undefined;
}

/** etcd lost its history: it was wiped, or restored from a snapshot. Tokens and logs start again. */
export interface HistoryCut {
  /** From this time on no renewal and no answer of the old history reached a candidate. */
  readonly fromMs: number;
  /** The start of the new history: no candidate reached it before. */
  readonly atMs: number;
  /** The content of the old history at its end. */
  readonly before: Standing;
  /** The content of the new history at its start: nothing after a wipe. */
  readonly base: readonly LogEntry[];
  /** Tokens of the keys that the snapshot restored with their leases. A candidate could lead under them. */
  readonly keysBack: readonly bigint[];
}

/** The content of the logs at one moment. */
export interface Standing {
  readonly logs: { readonly [to in 'etcd' | 'http']: readonly LogEntry[] };
  /** How often etcd wrote the key that every append to etcd also writes. */
  readonly timesWritten: number;
  /** What the `else` branches of appends wrote. Their comparisons always hold, so only a failed fence leads there. */
  readonly elseBranches: readonly string[];
}

/** The content at the end, and its history. */
export interface Evidence extends Standing {
  readonly acting: readonly Acting[];
  readonly appends: readonly Append[];
  /** In order of time. */
  readonly cuts: readonly HistoryCut[];
  /** When processes were killed: their terms report no reason. */
  readonly kills: readonly { readonly process: string; readonly atMs: number }[];
  readonly faults: readonly FaultRecord[];
  /** When no process stood that could lead. Default: never. */
  readonly nobodyStands?: readonly Stretch[];
  /** When the run ended. */
  readonly endMs: number;
  readonly grantedTtlMs: number;
  /** Whether tokens are fencing tokens; etcd3's own election has none. */
  readonly hasTokens: boolean;
}

export interface Finding {
  readonly promise: 'S1' | 'S2' | 'S4' | 'S5' | 'L2' | 'L5';
  readonly what: string;
  /** Whether etcd itself took the key before the lease ended. */
  readonly byEtcd?: boolean;
  /** Whether etcd's history was cut between the two terms, so that it forgot the lease. */
  readonly isForgotten?: boolean;
  /** The size in milliseconds, if it has one. */
  readonly ms?: number;
}
