/**
 * Methods that answer yes or no. Without its parentheses such a method is a function, and a function is always true.
 */

/** A check for a method, a spy or a mock reads it without a call too, but seldom this often. */
const READS_UNTIL_TOLD = 3;

/**
 * Notices that a method is read again and again, and not called.
 *
 * @param tell is called with the object once it has been read uncalled a few times.
 */
export function noteReadUncalled<T extends object>(
  prototype: T,
  name: keyof T & string,
  tell: (object: T) => void,
): void {
  const method = prototype[name] as (...args: unknown[]) => unknown;
  const reads = new WeakMap<T, number>();
  /** Whose method was read last, and not called yet. */
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
    /** Mocks replace methods. */
    set(this: T, value: unknown) {
      Object.defineProperty(this, name, { value, configurable: true, enumerable: true, writable: true });
    },
  });
}
