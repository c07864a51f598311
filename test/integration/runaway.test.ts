import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import { Election, loopGuards, type GuardReport } from 'etcd-election';
import { describe, expect } from 'vitest';
import { eventually } from '../support/eventually.ts';
import {
  BURST,
  expectHeld,
  mostIterations,
  mostReads,
  mostRounds,
  watch,
  WATCH_MS,
} from '../support/hot-loop.ts';
import { SOON_MS, test, type World } from '../support/world.ts';

// The loops of the incident and similar ones: each ignores its result and repeats.

/** A loop that makes as many rounds has tripped the guard. */
const TO_TRIP = BURST + 2;

const guardOf = (world: World, of: GuardReport['purpose'] = 'campaign') => {
  const report = loopGuards().find(({ key, purpose }) => key.includes(world.prefix) && purpose === of);
  expect(report).toBeDefined();
  return report!;
};

describe('a loop around campaign() that ignores the result is held back', () => {
  test('G1, G6: while we lead: for (;;) await election.campaign(ip)', async ({ candidate, log }) => {
    const alice = candidate('alice');
    await alice.campaign();
    expectHeld(await watch(() => alice.election.campaign('10.0.0.7'), WATCH_MS, TO_TRIP));
    expect(alice.election.status.state).toBe('leading');
    expect(log.of('guard.tripped')).toHaveLength(1);
    expect(log.of('guard.tripped')[0]!['calledFrom']).toContain('runaway.test.ts');
  });

  test('G1: from the start: the loop of the incident', async ({ candidate, world }) => {
    const alice = candidate('alice');
    expectHeld(await watch(() => alice.campaign('10.0.0.7')));
    expect(guardOf(world).callSites[0]?.stack.join()).toContain('runaway.test.ts');
  });

  test('G1: work for each term, with terms that end at once', async ({ candidate }) => {
    const alice = candidate('alice');
    expectHeld(
      await watch(async () => {
        const term = await alice.campaign();
        term.assertCurrent();
        void alice.election.stepDown();
      }),
    );
  });

  test('G1: campaign() and resign() alternately', async ({ candidate }) => {
    const alice = candidate('alice');
    expectHeld(
      await watch(async () => {
        await alice.campaign();
        await alice.election.resign();
      }),
    );
  });

  test('G1: campaign() without waiting for resign()', async ({ candidate }) => {
    const alice = candidate('alice');
    expectHeld(
      await watch(async () => {
        await alice.campaign();
        void alice.election.resign();
      }),
    );
  });

  test('G1, G6: campaign() that waits for the end of the last one, with the place of the call', async ({
    candidate,
    world,
    log,
  }) => {
    const alice = candidate('alice');
    const round = async (): Promise<void> => {
      void alice.election.resign();
      await alice.election.campaign('x');
    };
    expectHeld(await watch(round, WATCH_MS, TO_TRIP));
    const trips = log.of('guard.tripped');
    expect(trips.length).toBeGreaterThan(0);
    for (const { calledFrom } of trips) expect(calledFrom).toContain('runaway.test.ts');
    const frames = guardOf(world).callSites.flatMap(({ stack }) => stack);
    expect(frames).not.toEqual([]);
    expect(frames.filter((frame) => /\/src\//.test(frame))).toEqual([]);
  });

  test('G1: lead() with work that returns at once', async ({ election, client }) => {
    const one = election(client());
    expectHeld(await watch(() => one.lead(async () => undefined)));
  });

  test('G1: a new Election each round, closed or not', async ({ world, election, client }) => {
    const shared = client();
    const seen = await watch(async () => {
      await using one = election(shared);
      await one.campaign();
    });
    expectHeld(seen);
    expect(guardOf(world).rounds).toBeLessThanOrEqual(mostRounds(seen));
  });

  test('G3: a new client and a new Election each round', async ({ world, etcd, log, prefix }) => {
    const clients: Etcd3[] = [];
    expectHeld(
      await watch(async () => {
        const own = new Etcd3({ hosts: etcd.endpoints });
        clients.push(own);
        await using one = new Election(own, 'e', { prefix, logger: log.logger });
        await one.campaign('10.0.0.7');
      }),
    );
    await eventually(async () => (await world.keys()).length === 0, { withinMs: SOON_MS });
    for (const own of clients) own.close();
  });

  test('G1: after close() every call is refused slowly', async ({ candidate }) => {
    const alice = candidate('alice');
    await alice.election.close();
    expectHeld(await watch(() => alice.campaign()));
  });

  test('G1: a bad value is refused slowly, with or without a campaign', async ({ candidate }) => {
    const alice = candidate('alice');
    expectHeld(await watch(() => alice.campaign(7 as unknown as string)));
    await alice.campaign();
    expectHeld(await watch(() => alice.campaign(7 as unknown as string)));
  });

  test('G1, G6: campaign() that resign() ends at once: logged once with the caller', async ({
    candidate,
    log,
    world,
  }) => {
    const alice = candidate('alice');
    expectHeld(
      await watch(
        async () => {
          void alice.election.campaign('10.0.0.7');
          await alice.election.resign();
        },
        WATCH_MS,
        TO_TRIP,
      ),
    );
    const trips = log.of('guard.tripped');
    expect(trips).toHaveLength(1);
    expect(trips[0]).toMatchObject({ calledFrom: expect.stringContaining('runaway.test.ts') as string });
    expect(guardOf(world, 'quits').callSites[0]?.stack.join()).toContain('runaway.test.ts');
  });

  test('G1, G6: a new Election each round, closed before it leads: logged once', async ({
    election,
    client,
    log,
  }) => {
    const shared = client();
    expectHeld(
      await watch(
        async () => {
          await using one = election(shared);
          void one.campaign();
        },
        WATCH_MS,
        TO_TRIP,
      ),
    );
    expect(log.of('guard.tripped')).toHaveLength(1);
  });

  test('G1: lead() with a signal that has aborted already', async ({ election, client }) => {
    const one = election(client());
    expectHeld(await watch(() => one.lead(async () => undefined, { signal: AbortSignal.abort() })));
  });

  test('F7, G5: without etcd', async ({ candidate }) => {
    const alice = candidate('alice', { hosts: 'http://127.0.0.1:1' });
    const seen = await watch(() => alice.campaign());
    expectHeld(seen);
  });
});

describe('a loop around the other calls is held back', () => {
  test('G1: leader() and candidates(): at most 20 a second', async ({ election, client }) => {
    const one = election(client());
    for (const read of [() => one.leader(), () => one.candidates()]) {
      const seen = await watch(read);
      expectHeld(seen, mostReads(seen));
    }
  });

  test('G1: reads of a closed election, and without etcd', async ({ election, client }) => {
    const closed = election(client(), 'closed');
    await closed.close();
    expectHeld(await watch(() => closed.leader()));
    const away = election(client({ hosts: 'http://127.0.0.1:1' }), 'away');
    const seen = await watch(() => away.leader());
    expectHeld(seen, mostReads(seen));
  });

  test('G1, G6: observe() that is stopped at once: logged once with the caller', async ({
    election,
    client,
    log,
  }) => {
    const one = election(client());
    const seen = await watch(
      async () => {
        for await (const _ of one.observe()) break;
      },
      WATCH_MS,
      22, // twenty go at once
    );
    expectHeld(seen, mostIterations(seen));
    expect(log.of('guard.tripped')).toHaveLength(1);
    expect(log.of('guard.tripped')[0]!['calledFrom']).toContain('runaway.test.ts');
  });

  test('G1: observe() of a closed election, which ends at once', async ({ election, client }) => {
    const one = election(client());
    await one.close();
    const seen = await watch(async () => {
      for await (const _ of one.observe());
    });
    expectHeld(seen, mostIterations(seen));
  });

  test('G1: observe() with a signal that has aborted already', async ({ election, client }) => {
    const one = election(client());
    const seen = await watch(async () => {
      for await (const _ of one.observe({ signal: AbortSignal.abort() }));
    });
    expectHeld(seen, mostIterations(seen));
  });

  test('G1: stepDown() while we lead', async ({ candidate }) => {
    const alice = candidate('alice');
    await alice.campaign();
    const seen = await watch(async () => {
      await alice.elected();
      await alice.election.stepDown();
    });
    expectHeld(seen);
  });

  test('G1, G5: proclaim(): at most 20 a second', async ({ candidate, world }) => {
    const term = await candidate('alice').campaign();
    const seen = await watch(() => term.proclaim('again'));
    expectHeld(seen, mostReads(seen));
    expect(await world.keys()).toEqual([term.key]);
  });

  test('G5: un-awaited campaign() with a new value each time: few writes, and the last value remains', async ({
    candidate,
    world,
  }) => {
    const alice = candidate('alice');
    const term = await alice.campaign();
    let last = '';
    let calls = 0;
    const begunAtMs = performance.now();
    const calling = setInterval(() => void alice.campaign((last = `value ${++calls}`)), 5);
    await sleep(WATCH_MS);
    await eventually(() => calls > 50, { withinMs: SOON_MS });
    clearInterval(calling);
    const tookMs = performance.now() - begunAtMs;

    await eventually(async () => (await alice.election.leader())?.value === last, { withinMs: 2 * SOON_MS });
    const kv = (await world.own.getAll().prefix(term.key).exec()).kvs[0];
    expect(Number(kv?.version)).toBeLessThanOrEqual(mostReads({ tookMs }));
  });

  test('G1, G6: resign(), stepDown() and close() with nothing to do: logged once', async ({
    candidate,
    log,
  }) => {
    const alice = candidate('alice');
    for (const call of ['stepDown', 'resign', 'close'] as const)
      expectHeld(await watch(() => alice.election[call](), WATCH_MS, TO_TRIP));
    expect(log.of('guard.tripped')).toHaveLength(1);
    expect(log.of('guard.tripped')[0]!['calledFrom']).toContain('runaway.test.ts');
  });
});

describe('work that achieves nothing is held back', () => {
  test.for([
    [
      'throws at once',
      () => {
        throw new Error('broken');
      },
    ],
    ['rejects at once', () => Promise.reject(new Error('broken'))],
    ['rejects with nothing', () => Promise.reject(undefined as unknown as Error)],
  ] as const)('F6, G1: onLeader that %s', async ([, onLeader], { candidate, history, log }) => {
    const alice = candidate('alice', { onLeader });
    const begunAtMs = performance.now();
    void alice.campaign();
    await sleep(WATCH_MS);
    expect(history.leaders().length).toBeLessThanOrEqual(
      mostRounds({ tookMs: performance.now() - begunAtMs }),
    );
    await eventually(() => expect(log.of('guard.tripped')).toHaveLength(1), { withinMs: SOON_MS });
    expect(history.leaders().length).toBeGreaterThanOrEqual(BURST);
    history.assertTurns('alice');
    expect(log.of('callback.failed').length).toBeGreaterThan(0);
    expect(alice.election.status.guard.streak).toBeGreaterThan(BURST);
  });

  test('F6: onLeader that returns at once keeps the term', async ({ candidate, history, log }) => {
    const alice = candidate('alice', { onLeader: () => undefined });
    const term = await alice.campaign();
    await sleep(WATCH_MS); // time for many rounds, if it looped
    expect(term.isCurrent()).toBe(true);
    expect(history.leaders()).toEqual(['alice']);
    expect(log.of('guard.tripped')).toEqual([]);
  });

  test('G1: onFollower that throws is only logged', async ({ candidate, log }) => {
    await candidate('alice').campaign();
    const bob = candidate('bob', {
      onFollower: () => {
        throw new Error('broken');
      },
    });
    void bob.campaign();
    await eventually(() => log.of('callback.failed').length === 1, { withinMs: SOON_MS });
    expect(bob.election.status.state).toBe('waiting');
  });
});
