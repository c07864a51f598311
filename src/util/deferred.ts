/** A promise that is settled from outside. Its rejection may stay unhandled. */
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
 * Runs a function whose promise need not be awaited: an unhandled rejection does not end the process. The handler is added only
 * when the promise rejects, because V8 records the awaiting function only while a promise has no other handler.
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
