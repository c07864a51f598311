/**
 * What the doctor measures and finds.
 */
import type { Failure } from '../plain-error.ts';

export interface Finding {
  readonly check: string;
  readonly verdict: 'good' | 'warning' | 'bad';
  /** What was found. */
  readonly found: string;
  /** What to do about it; undefined if there is nothing to do. */
  readonly advice?: string;
  /** Further lines about what was found. */
  readonly details?: readonly string[];
}

/** The status that a member reports. */
export interface MemberStatus {
  readonly version: string;
  readonly roundTripMs: number;
  readonly clusterId: string;
  readonly memberId: string;
  /** Member ID of etcd's leader; `0` if the member knows none. */
  readonly leaderId: string;
  readonly isLearner: boolean;
  readonly databaseBytes: number;
  readonly errors: readonly string[];
  /** How many different members have answered at this one address. */
  readonly membersBehind: number;
}

export interface MemberReading {
  readonly endpoint: string;
  /** The status, or why there is none. */
  readonly reached: MemberStatus | { readonly failure: Failure; readonly error: string };
  /** The version that HTTP or HTTPS on the same port reports; undefined without an answer, or if it is not etcd's. */
  readonly httpVersion?: string | undefined;
  /** How far the member's clock is ahead of ours, in milliseconds; undefined if it is not reported. */
  readonly clockAheadMs: number | undefined;
}

export const good = (check: string, found: string): Finding => ({ check, verdict: 'good', found });
export const warning = (check: string, found: string, advice: string): Finding => ({
  check,
  verdict: 'warning',
  found,
  advice,
});
export const bad = (check: string, found: string, advice: string): Finding => ({
  check,
  verdict: 'bad',
  found,
  advice,
});

export const megabytes = (bytes: number): number => Math.round(bytes / 1024 / 1024);
