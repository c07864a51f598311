import { expect } from 'vitest';
import { eventually } from './eventually.ts';

type Matcher = (...expected: readonly unknown[]) => unknown;

/**
 * Like `expect.poll()`, but time for which the process was stalled does not count. After a stall as long as the limit,
 * `expect.poll()` looks only once more.
 *
 * @param withinMs a limit that follows from the awaited event, in milliseconds.
 */
export function poll<T>(look: () => T | Promise<T>, withinMs: number): ReturnType<typeof expect.poll<T>> {
  const chain = (path: readonly string[]): unknown =>
    new Proxy(() => undefined, {
      get: (_, name) => chain([...path, String(name)]),
      apply: (_, __, expected: unknown[]) =>
        eventually(async () => judge(await look(), path, expected), { withinMs }),
    });
  return chain([]) as ReturnType<typeof expect.poll<T>>;
}

/** @param path as `['not', 'toEqual']`. @throws if the value is not as expected. */
function judge(value: unknown, path: readonly string[], expected: readonly unknown[]): void {
  let assertion = expect(value) as unknown as Record<string, never>;
  for (const name of path.slice(0, -1)) assertion = assertion[name]!;
  (assertion as unknown as Record<string, Matcher>)[path.at(-1)!]!(...expected);
}
