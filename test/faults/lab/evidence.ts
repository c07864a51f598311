/** What a run leaves behind for the checker to judge, and what the checker says of it. */
import type { Acting, Append } from './history.ts';

/** An entry of a log, as it stands in the end. */
export interface LogEntry {
  readonly process: string;
  readonly token: bigint;
  readonly counter: number;
  /** Where it stands in the order of commits. */
  readonly order: bigint;
  /** How often it was written: 1 unless a write was repeated. */
  readonly times: number;
}

/** A stretch of time, in milliseconds on the clock of the stamps. */
export interface Stretch {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface FaultRecord extends Stretch {
  readonly kind: string;
  readonly what: string;
  /** Whether etcd's own leader may have changed by it, or answers come late: leases last longer then. */
  readonly touchesEtcd: boolean;
  /** Whether no candidate could have led meanwhile: no quorum, or no way to it. */
  readonly isOutage: boolean;
  /** Whose key an operator took away: S2 does not cover that, S4 does. */
  readonly evicts?: string | undefined;
}

/** etcd lost its history: it was wiped, or restored from a snapshot. What was true of tokens and logs begins anew. */
export interface HistoryCut {
  /** From when nothing of the old history reached a candidate: no renewal, no answer. */
  readonly fromMs: number;
  /** Where the new one begins: nobody has reached it before. */
  readonly atMs: number;
  /** What stood in the old one when nobody reached it any more. */
  readonly before: Standing;
  /** What stands in the new one from its beginning: nothing after a wipe. */
  readonly base: readonly LogEntry[];
  /** Tokens of the keys that came back with the snapshot: with their leases, so that they can be led under. */
  readonly keysBack: readonly bigint[];
}

/** What stands in the logs at one moment. */
export interface Standing {
  readonly logs: { readonly [to in 'etcd' | 'http']: readonly LogEntry[] };
  /** How often etcd wrote the one key that every append to etcd also writes. */
  readonly timesWritten: number;
  /** What the `else` branches of appends have written. Their comparisons always hold: only a failed fence leads there. */
  readonly elseBranches: readonly string[];
}

/** What stands in the end, and how it came about. */
export interface Evidence extends Standing {
  readonly acting: readonly Acting[];
  readonly appends: readonly Append[];
  /** In order of time. */
  readonly cuts: readonly HistoryCut[];
  /** When processes were killed: those terms cannot say why they ended. */
  readonly kills: readonly { readonly process: string; readonly atMs: number }[];
  readonly faults: readonly FaultRecord[];
  /** When the run ended for all. */
  readonly endMs: number;
  readonly grantedTtlMs: number;
  /** Whether tokens are fencing tokens; etcd3's own election has none. */
  readonly hasTokens: boolean;
}

export interface Finding {
  readonly promise: 'S1' | 'S2' | 'S4' | 'S5' | 'L2' | 'L5';
  readonly what: string;
  /** Whether etcd took the key by itself, before the lease was over. */
  readonly byEtcd?: boolean;
  /** Whether etcd's history was cut between the two, so that it forgot the lease. */
  readonly isForgotten?: boolean;
  /** How bad, in milliseconds, where it has a length. */
  readonly ms?: number;
}
