/** What an observer sees of the leaders of an election. */
import type { Observed } from 'etcd-election';
import { expect } from 'vitest';
import { eventually } from './eventually.ts';
import { SOON_MS } from './world.ts';

/** The values that an observer has seen so far; `nobody` without a leader, `unknown` if the leader is not known. */
export function observed(iterable: AsyncIterable<Observed>): { seen: string[]; over: Promise<unknown> } {
  const seen: string[] = [];
  const over = (async () => {
    for await (const leader of iterable) seen.push(leader === null ? 'unknown' : (leader?.value ?? 'nobody'));
  })();
  over.catch(() => undefined);
  return { seen, over };
}

export const sees = (seen: readonly string[], ...expected: string[]): Promise<unknown> =>
  eventually(() => expect(seen).toEqual(expected), { withinMs: SOON_MS });
