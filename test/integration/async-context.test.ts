/** The async context (AsyncLocalStorage) of callbacks. Elections of one client share a lease and a watch, but not their contexts. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { expect } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { SOON_MS, test } from '../support/world.ts';

const tenant = new AsyncLocalStorage<string>();

test('every callback has the context of its own campaign, whoever ends the term', async ({
  client,
  election,
  world,
}) => {
  const shared = client();
  const seen: Record<string, { callback: string; context: string | undefined }[]> = {};
  const campaignFor = (name: string): ReturnType<typeof election> =>
    tenant.run(name, () => {
      const note = (callback: string) => (): void => {
        (seen[name] ??= []).push({ callback, context: tenant.getStore() });
      };
      const one = election(shared, name, {
        onLeader: (term) => {
          term.signal.addEventListener('abort', note('abort'));
          term.signal.onabort = note('onabort');
          term.onEnd(note('onEnd'));
          term.every(60_000, note('every'));
          note('onLeader')();
          return note('returned');
        },
        onFollower: note('onFollower'),
        onLeaderChange: note('onLeaderChange'),
      });
      void one.campaign();
      return one;
    });
  const names = ['a', 'b', 'c'];
  const elections = names.map(campaignFor);
  const count = (callback: string): number =>
    names.flatMap((name) => seen[name] ?? []).filter((each) => each.callback === callback).length;
  await eventually(() => count('every') === 3, { withinMs: SOON_MS });

  // The lease of all three is lost at once. The first one to notice ends the terms of the others.
  await world.own.leaseClient.leaseRevoke({ ID: elections[0]!.currentTerm!.leaseId });
  await eventually(() => count('every') === 6, { withinMs: SOON_MS });
  await tenant.run('shutdown', () => Promise.all(elections.map((each) => each.close())));

  for (const name of names) {
    const callbacks = new Set(seen[name]!.map(({ callback }) => callback));
    expect(callbacks.size).toBe(8);
    expect(seen[name]!.filter(({ context }) => context !== name)).toEqual([]);
  }
});

test('a clean-up has the context in which it was registered', async ({ candidate }) => {
  const alice = candidate('alice');
  const term = await alice.campaign();
  const seen: unknown[] = [];
  tenant.run('inner', () => term.onEnd(() => void seen.push(tenant.getStore())));
  await tenant.run('outer', () => alice.election.close());
  expect(seen).toEqual(['inner']);
});
