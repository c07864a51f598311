/**
 * Hedged requests: if one host does not answer, another is asked too, and the first answer counts. Only for calls
 * that are safe to repeat.
 */
import { EtcdError } from './etcd-error.ts';

/**
 * @param ask makes one try, until the signal aborts. It calls `onSilent` if its host does not answer.
 * @param times the most tries.
 * @throws {EtcdError} the refusal of the first host that refuses. If all hosts are unavailable, the error of one of them.
 *   An error after which the request may have happened takes precedence.
 */
export function hedged<T>(
  ask: (signal: AbortSignal, onSilent: () => void) => Promise<T>,
  { times, signal }: { readonly times: number; readonly signal?: AbortSignal | undefined },
): Promise<T> {
  return new Promise((resolve, reject) => {
    const over = new AbortController();
    const end = (): void => {
      signal?.removeEventListener('abort', end);
      over.abort();
    };
    let asked = 0;
    let underWay = 0;
    let worst: EtcdError | undefined;
    const askOnce = (): void => {
      asked++;
      underWay++;
      const onSilent = (): void => {
        if (asked < times && !over.signal.aborted) askOnce();
      };
      ask(over.signal, onSilent).then(
        (answer) => {
          end();
          resolve(answer);
        },
        (fault: unknown) => {
          underWay--;
          const isUnreachable = fault instanceof EtcdError && fault.kind === 'unavailable';
          if (isUnreachable && worst?.mayHaveHappened !== true) worst = fault;
          if (isUnreachable && underWay > 0) return;
          end();
          reject(isUnreachable ? worst : fault);
        },
      );
    };
    signal?.addEventListener('abort', end, { once: true });
    if (signal?.aborted === true) end();
    askOnce();
  });
}
