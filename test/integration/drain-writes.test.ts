/** Work that finishes its last item with fenced writes after the end of its term, while its key still exists. */
import { setTimeout as sleep } from 'node:timers/promises';
import { LeadershipLostError, OutcomeUnknownError, UnavailableError, type Term } from 'etcd-election';
import { startProxy } from 'etcd-election/dev';
import { describe, expect } from 'vitest';
import { eventually, within } from '../support/eventually.ts';
import { abortOf, SHORT_TTL_SECONDS, SOON_MS, test, type TestCandidate } from '../support/world.ts';

/** How long the work of these tests continues after its signal, in milliseconds. */
const FINISHING_MS = 200;

describe('in the drain', () => {
  const ends: Record<string, (alice: TestCandidate, term: Term) => unknown> = {
    'close()': ({ election }) => election.close(),
    'resign()': ({ election }) => election.resign(),
    'stepDown()': ({ election }) => election.stepDown(),
    'term.resign()': (_, term) => term.resign(),
    'term.stepDown()': (_, term) => term.stepDown(),
  };
  for (const [way, end] of Object.entries(ends))
    test(`S5: work saves its last item after ${way}, before the next term begins`, async ({
      candidate,
      prefix,
      world,
    }) => {
      const state: unknown[] = [];
      const key = (name: string): string => `${prefix}${name}`;
      const alice = candidate('alice', {
        drainTimeoutMs: 30_000,
        onLeader: async (term) => {
          await abortOf(term.signal);
          await sleep(FINISHING_MS);
          state.push(term.isCurrent());
          await term.put(key('put'), 'last');
          await term.put(key('once'), 'last', { exactlyOnce: true });
          await term
            .txn()
            .then(world.own.put(key('txn')).value('last'))
            .commit();
          await term.delete(key('gone'));
          await expect(term.proclaim('late')).rejects.toBeInstanceOf(LeadershipLostError);
          await expect(term.run(() => 1)).rejects.toBeInstanceOf(LeadershipLostError);
          state.push('saved');
        },
      });
      await world.own.put(key('gone')).value('x');
      const bob = candidate('bob', { onLeader: () => void state.push('bob') });
      const term = await alice.campaign();
      void bob.campaign();
      await bob.queued();
      await end(alice, term);
      await bob.elected();
      expect(state).toEqual([false, 'saved', 'bob']);
      const written = ['put', 'once', 'txn'].map((name) => world.own.get(key(name)).string());
      expect(await Promise.all(written)).toEqual(['last', 'last', 'last']);
      expect(await world.own.get(key('gone')).string()).toBeNull();
      await expect(term.put(key('put'), 'zombie')).rejects.toBeInstanceOf(LeadershipLostError);
      await expect(
        term
          .txn()
          .then(world.own.put(key('put')).value('zombie'))
          .commit(),
      ).rejects.toBeInstanceOf(LeadershipLostError);
      expect(await world.own.get(key('put')).string()).toBe('last');
    });

  test('S5: work that never stops writing ends with the drain, and the next replica leads', async ({
    candidate,
    prefix,
    log,
  }) => {
    let written = 0;
    let error: unknown;
    const alice = candidate('alice', {
      drainTimeoutMs: 500,
      onLeader: async (term) => {
        try {
          for (;;) {
            await term.put(`${prefix}loop`, `${written}`);
            written++;
          }
        } catch (refused) {
          error = refused;
        }
      },
    });
    const bob = candidate('bob');
    await alice.campaign();
    void bob.campaign();
    await bob.queued();
    await within(SOON_MS, 'close()', alice.election.close());
    await bob.elected();
    await eventually(() => error instanceof LeadershipLostError, { withinMs: SOON_MS });
    expect(written).toBeGreaterThan(0);
    expect(log.of('drain.overdue')).toHaveLength(1);
  });

  test('S1: nothing is written after the key is lost', async ({ candidate, prefix, world }) => {
    let late: unknown;
    const alice = candidate('alice', {
      onLeader: async (term) => {
        await abortOf(term.signal);
        late = await term.put(`${prefix}late`, 'x').catch((error: unknown) => error);
      },
    });
    const { key } = await alice.campaign();
    await world.own.delete().key(key).exec();
    await eventually(() => late !== undefined, { withinMs: SOON_MS });
    expect(late).toBeInstanceOf(LeadershipLostError);
    expect(await world.own.get(`${prefix}late`).string()).toBeNull();
  });

  test('S5: when the lease is lost, the guard no longer holds failed writes, and the work ends', async ({
    candidate,
    etcd,
    prefix,
    log,
  }) => {
    await using network = await startProxy({ target: etcd.endpoints[0]! });
    let endedAtMs: number | undefined;
    const failures: unknown[] = [];
    const alice = candidate('alice', {
      hosts: network.endpoint,
      ttlSeconds: SHORT_TTL_SECONDS,
      drainTimeoutMs: 30_000,
      guard: { baseMs: 60_000, capMs: 60_000, outsideCapMs: 60_000 }, // longer than the drain
      onLeader: async (term) => {
        await abortOf(term.signal);
        for (;;) {
          const error = await term.put(`${prefix}last`, 'x').catch((thrown: unknown) => thrown);
          if (!(error instanceof UnavailableError || error instanceof OutcomeUnknownError)) break;
          failures.push(error);
        }
        endedAtMs = performance.now();
      },
    });
    await alice.campaign();
    network.cut();
    const closed = alice.election.close();
    await eventually(() => log.of('session.lost').length > 0, { withinMs: 2 * SOON_MS });
    const lostAtMs = performance.now();
    await closed;
    expect(failures.length).toBeGreaterThan(0);
    expect(endedAtMs! - lostAtMs).toBeLessThan(SOON_MS);
    expect(log.of('drain.overdue')).toEqual([]);
  });

  test('failed writes are reported once at first, and once when the work has stopped', async ({
    candidate,
    etcd,
    prefix,
    log,
  }) => {
    await using network = await startProxy({ target: etcd.endpoints[0]! });
    const fewerThanTheGuardHolds = 4;
    const alice = candidate('alice', {
      hosts: network.endpoint,
      onLeader: async (term) => {
        await abortOf(term.signal);
        for (let count = 0; count < fewerThanTheGuardHolds; count++)
          await expect(term.put(`${prefix}last`, 'x')).rejects.toThrow();
      },
    });
    await alice.campaign();
    network.cut();
    await alice.election.close();
    expect(log.of('write.failed').map(({ failures }) => failures)).toEqual([1, fewerThanTheGuardHolds - 1]);
  });
});
