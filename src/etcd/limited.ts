import { settle, type Limits as AnyLimits } from '../util/settle.ts';
import { EtcdError } from './etcd-error.ts';

export type Limits = AnyLimits & { readonly withinMs: number };

/**
 * Waits for a promise no longer than the limit, and not beyond an abort.
 *
 * @param what said in errors: what was tried.
 * @param late takes what comes after that.
 * @throws {EtcdError} what the promise rejects with is passed on as it is.
 */
export function limited<T>(
  what: string,
  promise: Promise<T>,
  limits: Limits,
  late: (value: T) => void = () => undefined,
): Promise<T> {
  return settle(promise, limits, (ended): never => {
    promise.then(late, () => undefined); // it was given up
    throw ended === 'aborted'
      ? new EtcdError('aborted', `${what}: aborted`, false)
      : new EtcdError('unavailable', `${what}: nothing came within ${Math.round(limits.withinMs)} ms`, false);
  });
}
