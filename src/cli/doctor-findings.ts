/**
 * What the doctor measures and finds.
 */
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

/** From an error's plain text to its kind. */
export function failureOf(error: string): Failure {
  if (/authentication failed|user name is empty|invalid auth token/i.test(error)) return 'authentication';
  if (/permission ?denied/i.test(error)) return 'permission';
  if (/certificate|TLS|SSL/i.test(error)) return 'tls';
  if (/HTTP status|Protocol error|unimplemented|unknown service|invalid content-type/i.test(error))
    return 'not-etcd';
  return /deadline exceeded|no answer within/i.test(error) ? 'silent' : 'unreachable';
}

export const megabytes = (bytes: number): number => Math.round(bytes / 1024 / 1024);
