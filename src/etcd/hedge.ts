/**
 * Hedged requests: if the first host does not answer, another one is asked the same, and the first answer counts. Only for
 * calls that are safe to repeat.
 */
import { EtcdError } from './etcd-error.ts';

/**
 * @param ask makes one try. It calls `onSilent` if its host does not answer, and gives up if the signal aborts.
 * @param times how many tries are made at most.
 * @throws {EtcdError} etcd's refusal, from whichever host it came. If no host answered, an error that says that the request
 *   may have happened takes precedence.
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
