/** A promise that is settled from outside. Its rejection need not be handled. */
export class Deferred<T> {
  readonly promise: Promise<T>;
  resolve!: (value: T) => void;
  reject!: (error: Error) => void;

  constructor() {
    this.promise = new Promise<T>((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.promise.catch(() => undefined);
  }
}

/**
 * Runs a function whose promise need not be awaited: its rejection does not end the process. The handler is added only
 * when the promise rejects. An earlier handler would hide from V8's stack traces which function awaits the promise.
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
