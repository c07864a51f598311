/**
 * Detects forgotten parentheses, as in `if (term.isCurrent)`. Such a condition always holds, because a function is truthy.
 */

/**
 * How many reads without a call are reported as a mistake. Feature checks, spies and mocks also read a method without a
 * call, but rarely this often.
 */
const READS_UNTIL_TOLD = 3;

/**
 * Watches a method for reads without a call.
 *
 * @param tell called once with the object, after {@link READS_UNTIL_TOLD} such reads.
 */
export function noteReadUncalled<T extends object>(
  prototype: T,
  name: keyof T & string,
  tell: (object: T) => void,
): void {
  const method = prototype[name] as (...args: unknown[]) => unknown;
  const reads = new WeakMap<T, number>();
  /** The object whose method was read last and not yet called. */
  let open: T | undefined;
  const called = function (this: T, ...args: unknown[]): unknown {
    open = undefined;
    return method.apply(this, args);
  };
  Object.defineProperty(called, 'name', { value: name });
  const noteRead = (object: T): void => {
    const count = (reads.get(object) ?? 0) + 1;
    reads.set(object, count);
    if (count === READS_UNTIL_TOLD) tell(object);
  };
  Object.defineProperty(prototype, name, {
    configurable: true,
    get(this: T | undefined) {
      if (open !== undefined) noteRead(open);
      open = this === prototype ? undefined : this;
      return called;
    },
    /** Lets mocks replace the method. */
    set(this: T, value: unknown) {
      Object.defineProperty(this, name, { value, configurable: true, enumerable: true, writable: true });
    },
  });
}
