class AssertionError extends Error {}

const assert = (isTrue: unknown, message: Error | string = 'assertion failed'): void => {
  if (!isTrue) throw message instanceof Error ? message : new AssertionError(message);
};

export default Object.assign(assert, {
  fail: (message: string): never => {
    throw new AssertionError(message);
  },
});
