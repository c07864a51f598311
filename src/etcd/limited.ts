import { settle, type Limits } from '../util/settle.ts';
import { EtcdError } from './etcd-error.ts';

export type TimeLimits = Limits & { readonly withinMs: number };

/**
 * Waits for a promise until the time limit passes or the signal aborts.
 *
 * @param what what was tried, for error messages.
 * @param late takes a result that comes after the limit.
 * @throws {EtcdError} at the limit or the abort. A rejection of the promise is passed on unchanged.
 */
export function limited<T>(
  what: string,
  promise: Promise<T>,
  limits: TimeLimits,
  late: (value: T) => void = () => undefined,
): Promise<T> {
  return settle(promise, limits, (ended): never => {
    promise.then(late, () => undefined); // the wait has ended
    throw ended === 'aborted'
      ? new EtcdError('aborted', `${what}: aborted`, false)
      : new EtcdError('unavailable', `${what}: no answer within ${Math.round(limits.withinMs)} ms`, false);
  });
}
