/** etcd's errors with their gRPC codes, as in rpctypes/error.go. */
import type { EtcdRefusal } from './wire.ts';

const refusal = (code: number, message: string): EtcdRefusal => Object.freeze({ code, message });

export const REFUSALS = {
  deadlineExceeded: refusal(4, 'context deadline exceeded'),
  /** In the form of 3.4. */
  deadlineExceededUnknown: refusal(2, 'context deadline exceeded'),
  emptyKey: refusal(3, 'etcdserver: key is not provided'),
  keyNotFound: refusal(3, 'etcdserver: key not found'),
  valueProvided: refusal(3, 'etcdserver: value is provided'),
  leaseProvided: refusal(3, 'etcdserver: lease is provided'),
  tooManyOps: refusal(3, 'etcdserver: too many operations in txn request'),
  duplicateKey: refusal(3, 'etcdserver: duplicate key given in txn request'),
  requestTooLarge: refusal(3, 'etcdserver: request is too large'),
  compacted: refusal(11, 'etcdserver: mvcc: required revision has been compacted'),
  futureRevision: refusal(11, 'etcdserver: mvcc: required revision is a future revision'),
  ttlTooLarge: refusal(11, 'etcdserver: too large lease TTL'),
  noSpace: refusal(8, 'etcdserver: mvcc: database space exceeded'),
  leaseNotFound: refusal(5, 'etcdserver: requested lease not found'),
  leaseExists: refusal(9, 'etcdserver: lease already exists'),
  notPrimary: refusal(2, 'not a primary lessor'),
  noLeader: refusal(14, 'etcdserver: no leader'),
  notLeader: refusal(9, 'etcdserver: not leader'),
  leaderChanged: refusal(14, 'etcdserver: leader changed'),
  timeout: refusal(14, 'etcdserver: request timed out'),
  timeoutLeaderFailed: refusal(14, 'etcdserver: request timed out, possibly due to previous leader failure'),
  timeoutConnectionLost: refusal(14, 'etcdserver: request timed out, possibly due to connection lost'),
  timeoutApplying: refusal(14, 'etcdserver: request timed out, waiting for the applied index took too long'),
  notForLearner: refusal(14, 'etcdserver: rpc not supported for learner'),
  authNotEnabled: refusal(9, 'etcdserver: authentication is not enabled'),
  unimplemented: refusal(12, 'unknown method'),
} as const;

/** Thrown inside the model when etcd returns an error. It never reaches a client as an exception. */
export class Refused extends Error {
  readonly refusal: EtcdRefusal;

  constructor(refusal: EtcdRefusal) {
    super(refusal.message);
    this.refusal = refusal;
  }
}

export const refuse = (name: keyof typeof REFUSALS): never => {
  throw new Refused(REFUSALS[name]);
};

export interface RefusedOutcome {
  readonly refused: EtcdRefusal;
}

export const isRefused = (outcome: unknown): outcome is RefusedOutcome =>
  typeof outcome === 'object' && outcome !== null && 'refused' in outcome;

/** The outcome of a request that may be refused. */
export function outcomeOf<T>(run: () => T): T | RefusedOutcome {
  try {
    return run();
  } catch (error) {
    if (error instanceof Refused) return { refused: error.refusal };
    throw error;
  }
}
