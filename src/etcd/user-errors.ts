/**
 * Turns errors of etcd into the errors that users see: what happened, to which election, and what to do.
 */
import { isAnswerTooLarge, isFinal, type EtcdError } from './etcd-error.ts';
import { OutcomeUnknownError, RefusedError, UnavailableError, type ElectionError } from '../errors.ts';

export function refusedError(election: string, fault: EtcdError): RefusedError {
  const message =
    fault.kind === 'client-closed'
      ? `the Etcd3 client of election "${election}" was closed; close elections before their client; to continue, create a new client and a new Election`
      : `etcd refuses election "${election}": ${fault.message}; check the user, its password, and its permissions on the election's keys`;
  return new RefusedError(election, message, { cause: fault });
}

export function readError(election: string, fault: EtcdError): ElectionError {
  if (isFinal(fault)) return refusedError(election, fault);
  return new UnavailableError(election, `election "${election}" cannot be read now: ${fault.message}`, {
    cause: fault,
  });
}

/** A write without an answer may still be under way. As soon as the key of the term is gone, etcd refuses the write. */
const MAY_STILL_HAPPEN = 'It may still happen, until the key of this term is gone.';

/** The error of one write under a term. The term may continue. */
export function writeError(
  election: string,
  fencingToken: bigint,
  fault: EtcdError,
  writeId?: string,
): ElectionError {
  const write = `a write of election "${election}" (fencing token ${fencingToken})`;
  const cause = { cause: fault };
  if (fault.kind === 'client-closed')
    return new RefusedError(
      election,
      `${write} was not sent, because the Etcd3 client was closed; close elections before their client; to continue, create a new client and a new Election`,
      cause,
    );
  if (isFinal(fault) || fault.kind === 'lease-gone')
    return new RefusedError(
      election,
      `etcd refuses ${write}, and nothing was written: ${fault.message}; ${adviceOnRefusedWrite(fault)}`,
      cause,
    );
  // With a writeId, it can still be found out which branch ran.
  if (isAnswerTooLarge(fault) && writeId === undefined) return tooLargeError(election, write, fault);
  if (!fault.mayHaveHappened)
    return new UnavailableError(election, `${write} did not happen: ${fault.message}`, cause);
  const advice =
    writeId === undefined
      ? `${MAY_STILL_HAPPEN} If it compared the mod_revision of its keys, send it again. Otherwise call term.stepDown(), and read the keys in a later term`
      : `${MAY_STILL_HAPPEN} Call term.settle() with the writeId of this error before you write again`;
  const why = fault.kind === 'aborted' ? 'the term ended before etcd answered' : fault.message;
  return new OutcomeUnknownError(
    election,
    `${write} was sent, and its outcome is unknown: ${why}. ${advice}`,
    { ...cause, writeId },
  );
}

const READ_LESS = 'Read less at once: with limit() and in pages, or with keys()';

/** A failed fence has a short answer. So the fence has held, and etcd has carried out the transaction. */
function tooLargeError(election: string, write: string, fault: EtcdError): ElectionError {
  const cause = { cause: fault };
  const why = `etcd's answer is too large for this client (${fault.message})`;
  return fault.mayHaveHappened
    ? new OutcomeUnknownError(
        election,
        `${write} was committed, but ${why}. Do not send it again. ${READ_LESS}`,
        cause,
      )
    : new RefusedError(election, `a read of election "${election}" failed: ${why}. ${READ_LESS}`, cause);
}

export function settleError(election: string, writeId: string, fault: EtcdError): ElectionError {
  const what = `the outcome of write ${writeId} of election "${election}" cannot be found out now`;
  const cause = { cause: fault };
  return isFinal(fault)
    ? new RefusedError(election, `${what}: ${fault.message}`, cause)
    : new UnavailableError(election, `${what}: ${fault.message}`, cause);
}

function adviceOnRefusedWrite({ kind, message }: EtcdError): string {
  if (kind === 'lease-gone') return 'it attaches keys to a lease that is gone: use a new lease';
  if (/too many operations/.test(message))
    return 'put at most 126 operations into each branch (125 with exactlyOnce), or split the transaction';
  if (/duplicate key/.test(message)) return 'write each key once in a branch';
  if (/exactlyOnce/.test(message))
    return 'grant the user read and write access there, or do without exactlyOnce';
  if (/permission denied/.test(message))
    return 'grant the user write access to the keys of this transaction, and read access to the keys it compares or reads';
  if (/authentication|invalid auth token|user name is empty/.test(message))
    return 'check the user and its password';
  return 'correct the transaction; the same one is refused again';
}
