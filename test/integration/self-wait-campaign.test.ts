import type { Term } from 'etcd-election';
import { describe, expect } from 'vitest';
import { Deferred } from '../../src/util/deferred.ts';
import { eventually, within } from '../support/eventually.ts';
import { BURST } from '../support/hot-loop.ts';
import { abortOf, SOON_MS, test, TTL_SECONDS } from '../support/world.ts';
import { candidate, drainTimeoutMs } from '../support/patient-candidate.ts';

describe('campaign() that would wait for itself', () => {
  const refusal = { code: 'ELECTION_ALREADY_STANDING' };

  test('in onLeader after resign() is refused with advice, and we campaign again', async ({ world, log }) => {
    let terms = 0;
    const errors: unknown[] = [];
    const alice = candidate(world, {
      onLeader: async () => {
        if (++terms > 2) return;
        await alice.resign();
        await alice.campaign('again').catch((error: unknown) => errors.push(error));
      },
    });
    await alice.campaign('first');
    await eventually(() => terms === 3, { withinMs: SOON_MS });
    expect(errors).toMatchObject([refusal, refusal]);
    expect(String(errors[0])).toContain('term.stepDown()');
    expect(log.of('drain.overdue')).toEqual([]);
  });

  test('is refused at once in every term: the end of the term waits for the refusal', async ({ world }) => {
    let terms = 0;
    const drainTimeoutMs = 1_000;
    // From the first one, each hold is longer than the drain. By default the holds grow, and their jitter gives up to a minute in all.
    const [baseMs, capMs] = [1.5 * drainTimeoutMs, 2.5 * drainTimeoutMs];
    const held = 2;
    const alice = world.election(world.client(), 'e', {
      drainTimeoutMs,
      guard: { baseMs, capMs },
      onLeader: async () => {
        terms++;
        await alice.resign();
        await alice.campaign();
      },
    });
    void alice.campaign();
    // Before each of the last terms, the guard holds the refusal and the next round.
    await eventually(() => terms === BURST + held, { withinMs: held * 2 * capMs + SOON_MS });
    expect(world.log.of('drain.overdue')).toEqual([]);
    expect(alice.health().healthy).toBe(true);
  });

  test('is not refused if it is not awaited', async ({ world }) => {
    let terms = 0;
    const alice = candidate(world, {
      onLeader: async () => {
        if (++terms > 1) return;
        await alice.resign();
        void alice.campaign('again');
      },
    });
    await alice.campaign('first');
    await eventually(() => terms === 2, { withinMs: SOON_MS });
  });

  test('in onLeader after the loss of the term', async ({ world }) => {
    const refused = new Deferred<unknown>();
    let terms = 0;
    const alice = candidate(world, {
      onLeader: async (term) => {
        if (++terms > 1) return;
        await abortOf(term.signal);
        await alice.campaign().catch(refused.resolve);
      },
    });
    await alice.campaign();
    await alice.stepDown();
    expect(await refused.promise).toMatchObject(refusal);
    await eventually(() => terms === 2, { withinMs: SOON_MS });
  });

  test('in onFollower at the end of a term', async ({ world }) => {
    const refused = new Deferred<unknown>();
    let terms = 0;
    const alice = candidate(world, {
      onLeader: () => void terms++,
      onFollower: () => alice.campaign().catch(refused.resolve),
    });
    await alice.campaign();
    await alice.stepDown();
    expect(await refused.promise).toMatchObject(refusal);
    await eventually(() => terms === 2, { withinMs: SOON_MS });
  });

  test('works in onLeaderChange, which is not awaited', async ({ world }) => {
    let again = 0;
    const alice = candidate(world, {
      onLeaderChange: async (leader) => {
        if (leader === undefined || again > 0) return;
        again++;
        await alice.resign();
        await alice.campaign('again');
        again++;
      },
    });
    void alice.campaign('first');
    await eventually(() => again === 2, { withinMs: SOON_MS });
  });

  test('of a new Election after close()', async ({ world }) => {
    const client = world.client();
    const refused = new Deferred<unknown>();
    const next = new Deferred<Term>();
    const options = { drainTimeoutMs };
    const alice = world.election(client, 'e', {
      ...options,
      onLeader: async () => {
        await alice.close();
        const again = world.election(client, 'e', { ...options, onLeader: next.resolve });
        await again.campaign().catch(refused.resolve);
      },
    });
    await alice.campaign();
    expect(await within(SOON_MS, 'the refusal', refused.promise)).toMatchObject(refusal);
    await within(SOON_MS, 'the next term', next.promise);
  });

  test('lead() within lead() is refused at once', async ({ world }) => {
    const alice = candidate(world, {});
    const inner = alice.lead(async () => await alice.lead(async () => 1));
    await expect(within(SOON_MS, 'the refusal', inner)).rejects.toMatchObject(refusal);
  });

  test('of another election is awaited', async ({ world }) => {
    const other = world.election(world.client(), 'other');
    const alice = candidate(world, { onLeader: async () => void (await other.campaign()) });
    await alice.campaign();
    await eventually(() => other.status.state === 'leading', { withinMs: SOON_MS });
  });
});

test(
  'a chain of resign() and campaign() beside stuck work costs nothing, and close() ends it',
  async ({ world }) => {
    const alice = candidate(world, { drainTimeoutMs: 0, onLeader: () => new Promise(() => undefined) });
    await alice.campaign();
    const before = process.memoryUsage().heapUsed;
    for (let round = 0; round < 12; round++) {
      void alice.campaign().catch(() => undefined);
      await alice.resign();
    }
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(32 * 2 ** 20);
    await within(SOON_MS, 'close()', alice.close());
  },
  60_000 + TTL_SECONDS * 1_000,
);
