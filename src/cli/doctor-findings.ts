/**
 * What the doctor measures and finds.
 */
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

/** Why there is no status: for example, etcd is unreachable or silent, requires authentication, or is not etcd at all. */
export type Failure = 'unreachable' | 'silent' | 'authentication' | 'permission' | 'tls' | 'not-etcd';

export interface MemberReading {
  readonly endpoint: string;
  readonly reached: MemberStatus | { readonly failure: Failure; readonly error: string };
  /** The version that plain HTTP on the same port reports; undefined without an answer, or if it is not etcd's. */
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

/** Finds the kind of an error from its plain text. */
export function failureOf(error: string): Failure {
  if (/authentication failed|user name is empty|invalid auth token/i.test(error)) return 'authentication';
  if (/permission ?denied/i.test(error)) return 'permission';
  if (/certificate|TLS|SSL/i.test(error)) return 'tls';
  if (/HTTP status|Protocol error|unimplemented|unknown service|invalid content-type/i.test(error))
    return 'not-etcd';
  return /deadline exceeded|no answer within/i.test(error) ? 'silent' : 'unreachable';
}

export const megabytes = (bytes: number): number => Math.round(bytes / 1024 / 1024);
