import { setImmediate as nextTurn } from 'node:timers/promises';
import { LeadershipLostError, loopGuards, RunawayLoopError, type Term } from 'etcd-election';
import { startProxy } from 'etcd-election/dev';
import { describe, expect } from 'vitest';
import { expectHeld, watch } from '../support/hot-loop.ts';
import { test, type World } from '../support/world.ts';

// A loop that swallows errors around the calls of a term. It ran 60,000 to 180,000 rounds a second in microtasks, so
// no timer, signal or close() ran any more.

const noop = (): void => undefined;

const commit = (world: World, term: Term) =>
  term
    .txn()
    .then(world.own.put(`${world.prefix}progress`).value('x'))
    .commit();

/** Every call of a term that asks etcd, with valid arguments and some invalid ones. */
const calls = {
  'txn().commit()': commit,
  'commit() of one transaction again and again': (() => {
    const made = new WeakMap<Term, ReturnType<Term['txn']>>();
    return (_: World, term: Term) => {
      if (!made.has(term)) made.set(term, term.txn());
      return made.get(term)!.commit();
    };
  })(),
  'proclaim()': (_: World, term: Term) => term.proclaim('again'),
  'proclaim() of what is no string': (_: World, term: Term) => term.proclaim(42 as never),
} satisfies Record<string, (world: World, term: Term) => Promise<unknown>>;
const all = Object.entries(calls);

describe.each(all)('%s in a loop that swallows errors', (name, call) => {
  test('G1, G6: is held after the end of the term, and logged once with the caller', async ({
    candidate,
    world,
    log,
  }) => {
    const alice = candidate('alice');
    const term = await alice.campaign();
    await alice.election.close();
    expectHeld(await watch(() => call(world, term)));
    const trips = log.of('guard.tripped');
    expect(trips).toHaveLength(1);
    expect(trips[0]).toMatchObject({
      calledFrom: expect.stringContaining('term-calls-in-a-loop.test.ts') as string,
    });
    if (!name.includes('no string')) await expect(call(world, term)).rejects.toThrow(LeadershipLostError);
  });

  test('G4: throws at once after the end of the term, if the loop stays in one turn', async ({
    candidate,
    world,
  }) => {
    const alice = candidate('alice');
    const term = await alice.campaign();
    await alice.election.close();
    expect(() => {
      for (let i = 0; i < 10_000; i++) call(world, term).catch(noop);
    }).toThrow(RunawayLoopError);
  });

  test('G1, G4: is held while etcd refuses connections, and a flood throws', async ({
    candidate,
    world,
    etcd,
  }) => {
    await using network = await startProxy({ target: etcd.endpoints[0]! });
    const alice = candidate('alice', { hosts: network.endpoint, ttlSeconds: 20 });
    const term = await alice.campaign();
    network.cut();
    await call(world, term).catch(noop); // the open connection notices
    expectHeld(await watch(() => call(world, term)));

    if (name.includes('again and again')) return; // five thousand similar ones are enough
    const begun: Promise<unknown>[] = [];
    expect(() => {
      for (let i = 0; i < 10_000; i++) begun.push(call(world, term));
    }).toThrow(RunawayLoopError);
    expect(term.isCurrent()).toBe(true);
    await Promise.allSettled(begun);
    await network.restore();
    await alice.election.close();
  });
});

test('G4: assertCurrent() in a loop that swallows all errors', async ({ candidate }) => {
  const alice = candidate('alice');
  const term = await alice.campaign();
  await alice.election.close();
  expect(() => term.assertCurrent()).toThrow(LeadershipLostError);
  expect(() => {
    for (let i = 0; i < 2_000; i++)
      try {
        term.assertCurrent();
      } catch (error) {
        if (error instanceof RunawayLoopError) throw error;
      }
  }).toThrow(RunawayLoopError);
});

test('G4: status and health() in a loop that never lets the event loop turn', async ({ candidate }) => {
  const { election } = candidate('alice');
  for (const look of [() => election.status, () => election.health()]) {
    expect(() => {
      for (let i = 0; i < 200_000; i++) look();
    }).toThrow(RunawayLoopError);
    await nextTurn();
    await nextTurn();
    expect(() => look()).not.toThrow();
  }
});

test('G1: the guard does not hold the last few writes of honest work when the term ends', async ({
  candidate,
  world,
}) => {
  const alice = candidate('alice');
  const term = await alice.campaign();
  await alice.election.close();
  const writes = Array.from({ length: 50 }, () => commit(world, term));
  for (const write of await Promise.allSettled(writes))
    expect(write).toMatchObject({ status: 'rejected', reason: expect.any(LeadershipLostError) as unknown });
  const guard = loopGuards().find(({ key, purpose }) => key.includes(world.prefix) && purpose === 'failures');
  expect(guard).toMatchObject({ holds: 0, heldMs: 0 });
});
