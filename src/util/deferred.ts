/** A promise that is settled from outside, and whose rejection may go unheard. */
export class Deferred<T> {
  readonly promise: Promise<T>;
  resolve!: (value: T) => void;
  reject!: (error: Error) => void;

  constructor() {
    this.promise = new Promise<T>((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.promise.catch(() => undefined); // an un-awaited campaign() must not end the process
  }
}

/**
 * Runs. If the promise is not awaited, its rejection does not end the process. We listen to it only when it rejects: V8
 * shows who awaits a promise only while it has no other listener.
 */
export function unheard<T>(run: () => Promise<T>): Promise<T> {
  let result: Promise<T> | undefined;
  const running = async (): Promise<T> => {
    try {
      return await run();
    } catch (error) {
      result?.catch(() => undefined);
      throw error;
    }
  };
  result = running();
  return result;
}
