/**
 * A hedged request: while the first host does not answer, another is asked the same. The first answer counts.
 * For what may happen twice without harm.
 */
import { EtcdError } from './etcd-error.ts';

/**
 * @param ask sends it once; calls `onSilent` while its host does not answer, and gives up if the signal aborts.
 * @param times how often it is sent, at most.
 * @throws {EtcdError} etcd's refusal, whoever told it; where nobody could be reached, the fault of whoever may have
 *   been reached after all.
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
