/**
 * What the doctor measures and finds.
 */
import type { Failure } from '../plain-error.ts';

export interface Finding {
  readonly check: string;
  readonly verdict: 'good' | 'warning' | 'bad';
  readonly found: string;
  /** What to do about it; undefined if there is nothing to do. */
  readonly advice?: string;
  readonly details?: readonly string[];
}

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
  /** How many different members have answered at this address. */
  readonly membersBehind: number;
}

export interface MemberFailure {
  readonly failure: Failure;
  readonly error: string;
  /** Known if the member answers, but shows its status to root only. In decimal. */
  readonly clusterId?: string | undefined;
}

export interface MemberReading {
  readonly endpoint: string;
  readonly reached: MemberStatus | MemberFailure;
  /** The version of etcd, read over HTTP or HTTPS on the same port; undefined if none is reported. */
  readonly httpVersion?: string | undefined;
  /** How far the member's clock is ahead of ours; undefined if the member reports no time. */
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
