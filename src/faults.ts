/**
 * What etcd answered instead of a result, as the error that users see: what happened, to which election, and what
 * to do about it.
 */
import { isFinal, type EtcdFault } from './etcd/fault.ts';
import { OutcomeUnknownError, RefusedError, UnavailableError, type ElectionError } from './errors.ts';

export function refusedError(election: string, fault: EtcdFault): RefusedError {
  const advice =
    fault.kind === 'client-closed'
      ? 'make a new client, and a new Election on it'
      : "check the user, its password, and its permissions on the election's keys";
  return new RefusedError(election, `etcd refuses election "${election}": ${fault.message}; ${advice}`, {
    cause: fault,
  });
}

export function readError(election: string, fault: EtcdFault): ElectionError {
  if (isFinal(fault)) return refusedError(election, fault);
  return new UnavailableError(election, `election "${election}" cannot be read now: ${fault.message}`, {
    cause: fault,
  });
}

export function writeError(election: string, fencingToken: bigint, fault: EtcdFault): ElectionError {
  if (isFinal(fault)) return refusedError(election, fault);
  const write = `a write of election "${election}" (fencing token ${fencingToken})`;
  return fault.mayHaveHappened
    ? new OutcomeUnknownError(
        election,
        `${write} was sent, and its outcome is unknown: ${fault.message}. Read before you write again`,
        { cause: fault },
      )
    : new UnavailableError(election, `${write} did not happen: ${fault.message}`, { cause: fault });
}
