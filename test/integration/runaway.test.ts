import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import { Election, loopGuards, type GuardReport } from 'etcd-election';
import { describe, expect } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { BURST, expectHeld, MOST_ROUNDS, watch, WATCH_MS } from '../support/hot-loop.ts';
import { SOON_MS, test, type World } from '../support/world.ts';

// The loops of the incident, and their kin: each throws its result away and goes round again.

const guardOf = (world: World, of: GuardReport['purpose'] = 'campaign') => {
  const report = loopGuards().find(({ key, purpose }) => key.includes(world.prefix) && purpose === of);
  expect(report).toBeDefined();
  return report!;
};

describe('a loop around campaign() that throws the result away is held back', () => {
  test('G1, G6: while we lead: for (;;) await election.campaign(ip)', async ({ candidate, log }) => {
    const alice = candidate('alice');
    await alice.campaign();
    expectHeld(await watch(() => alice.election.campaign('10.0.0.7')));
    expect(alice.election.status.state).toBe('leading');
    expect(log.of('guard.tripped')).toHaveLength(1);
    expect(log.of('guard.tripped')[0]!['calledFrom']).toContain('runaway.test.ts');
  });

  test('G1: from the start: the loop of the incident', async ({ candidate, world }) => {
    const alice = candidate('alice');
    expectHeld(await watch(() => alice.campaign('10.0.0.7')));
    expect(guardOf(world).callSites[0]?.stack.join()).toContain('runaway.test.ts');
  });

  test('G1: a worker that works for each term, where the term is over at once', async ({ candidate }) => {
    const alice = candidate('alice');
    expectHeld(
      await watch(async () => {
        const term = await alice.campaign();
        term.assertCurrent();
        void alice.election.stepDown();
      }),
    );
  });

  test('G1: campaign() and resign() in turns', async ({ candidate }) => {
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

  test('G1: lead() with work that returns at once', async ({ election, client }) => {
    const one = election(client());
    expectHeld(await watch(() => one.lead(async () => undefined)));
  });

  test('G1: a new Election each round, closed or not', async ({ world, election, client }) => {
    const shared = client();
    expectHeld(
      await watch(async () => {
        await using one = election(shared);
        await one.campaign();
      }),
    );
    expect(guardOf(world).rounds).toBeLessThanOrEqual(MOST_ROUNDS);
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

  test('G1: after close() every call is refused, slowly', async ({ candidate }) => {
    const alice = candidate('alice');
    await alice.election.close();
    expectHeld(await watch(() => alice.campaign()));
  });

  test('G1: a bad value is refused, slowly, whether we stand or not', async ({ candidate }) => {
    const alice = candidate('alice');
    expectHeld(await watch(() => alice.campaign(7 as unknown as string)));
    await alice.campaign();
    expectHeld(await watch(() => alice.campaign(7 as unknown as string)));
  });

  test('G1, G6: campaign() that is given up at once by resign(): told once, with who calls', async ({
    candidate,
    log,
    world,
  }) => {
    const alice = candidate('alice');
    expectHeld(
      await watch(async () => {
        void alice.election.campaign('10.0.0.7');
        await alice.election.resign();
      }),
    );
    const trips = log.of('guard.tripped');
    expect(trips).toHaveLength(1);
    expect(trips[0]).toMatchObject({ calledFrom: expect.stringContaining('runaway.test.ts') as string });
    expect(guardOf(world, 'quits').callSites[0]?.stack.join()).toContain('runaway.test.ts');
  });

  test('G1, G6: a new Election each round that is closed before it leads: told once', async ({
    election,
    client,
    log,
  }) => {
    const shared = client();
    expectHeld(
      await watch(async () => {
        await using one = election(shared);
        void one.campaign();
      }),
    );
    expect(log.of('guard.tripped')).toHaveLength(1);
  });

  test('G1: lead() with a signal that has aborted already', async ({ election, client }) => {
    const one = election(client());
    expectHeld(await watch(() => one.lead(async () => undefined, { signal: AbortSignal.abort() })));
  });

  test('F7, G5: with etcd away', async ({ candidate }) => {
    const alice = candidate('alice', { hosts: 'http://127.0.0.1:1' });
    const seen = await watch(() => alice.campaign());
    expectHeld(seen);
  });
});

describe('a loop around the other calls is held back', () => {
  test('G1: leader() and candidates(): at most 20 a second', async ({ election, client }) => {
    const one = election(client());
    const most = 20 + 20 * (WATCH_MS / 1_000) + 2;
    expectHeld(await watch(() => one.leader()), most);
    expectHeld(await watch(() => one.candidates()), most);
  });

  test('G1: reads of a closed election, and of an etcd that is away', async ({ election, client }) => {
    const closed = election(client(), 'closed');
    await closed.close();
    expectHeld(await watch(() => closed.leader()));
    const away = election(client({ hosts: 'http://127.0.0.1:1' }), 'away');
    expectHeld(await watch(() => away.leader()), 20 + 20 * (WATCH_MS / 1_000) + 2);
  });

  test('G1, G6: observe() that is broken off at once: told once, with who calls', async ({
    election,
    client,
    log,
  }) => {
    const one = election(client());
    expectHeld(
      await watch(async () => {
        for await (const _ of one.observe()) break;
      }),
      20 + WATCH_MS / 250 + 1,
    );
    expect(log.of('guard.tripped')).toHaveLength(1);
    expect(log.of('guard.tripped')[0]!['calledFrom']).toContain('runaway.test.ts');
  });

  test('G1: observe() of a closed election, which ends at once', async ({ election, client }) => {
    const one = election(client());
    await one.close();
    expectHeld(
      await watch(async () => {
        for await (const _ of one.observe());
      }),
      20 + WATCH_MS / 250 + 1,
    );
  });

  test('G1: observe() with a signal that has aborted already', async ({ election, client }) => {
    const one = election(client());
    expectHeld(
      await watch(async () => {
        for await (const _ of one.observe({ signal: AbortSignal.abort() }));
      }),
      20 + WATCH_MS / 250 + 1,
    );
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
    expectHeld(await watch(() => term.proclaim('again')), 20 + 20 * (WATCH_MS / 1_000) + 2);
    expect(await world.keys()).toEqual([term.key]);
  });

  test('G5: campaign() with another value each time, un-awaited: few writes, and the last value stands', async ({
    candidate,
    world,
  }) => {
    const alice = candidate('alice');
    const term = await alice.campaign();
    let last = '';
    let calls = 0;
    const calling = setInterval(() => void alice.campaign((last = `value ${++calls}`)), 5);
    await sleep(WATCH_MS);
    clearInterval(calling);

    await eventually(async () => (await alice.election.leader())?.value === last, { withinMs: 2 * SOON_MS });
    const kv = (await world.own.getAll().prefix(term.key).exec()).kvs[0];
    expect(calls).toBeGreaterThan(50);
    expect(Number(kv?.version)).toBeLessThanOrEqual(20 + 20 * (WATCH_MS / 1_000) + 2);
  });

  test('G1, G6: resign(), stepDown() and close() that find nothing to do: told once', async ({
    candidate,
    log,
  }) => {
    const alice = candidate('alice');
    for (const call of ['stepDown', 'resign', 'close'] as const)
      expectHeld(await watch(() => alice.election[call]()));
    expect(log.of('guard.tripped')).toHaveLength(1);
    expect(log.of('guard.tripped')[0]!['calledFrom']).toContain('runaway.test.ts');
  });
});

describe('work that comes to nothing is held back', () => {
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
    void alice.campaign();
    await sleep(WATCH_MS);
    expect(history.leaders().length).toBeLessThanOrEqual(MOST_ROUNDS);
    await eventually(() => expect(log.of('guard.tripped')).toHaveLength(1), { withinMs: SOON_MS });
    expect(history.leaders().length).toBeGreaterThanOrEqual(BURST);
    history.assertTurns('alice');
    expect(log.of('callback.failed').length).toBeGreaterThan(0);
    expect(alice.election.status.guard.streak).toBeGreaterThan(BURST);
  });

  test('F6: onLeader that returns at once leads on', async ({ candidate, history, log }) => {
    const alice = candidate('alice', { onLeader: () => undefined });
    const term = await alice.campaign();
    await sleep(WATCH_MS); // time for many a round, if it went round
    expect(term.isCurrent()).toBe(true);
    expect(history.leaders()).toEqual(['alice']);
    expect(log.of('guard.tripped')).toEqual([]);
  });

  test('G1: onFollower that throws is logged, and nothing else', async ({ candidate, log }) => {
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
