import { setTimeout as sleep } from 'node:timers/promises';
import type { Term } from 'etcd-election';
import { describe, expect } from 'vitest';
import { Deferred } from '../../src/util/deferred.ts';
import { eventually } from '../support/eventually.ts';
import { abortOf, SOON_MS, test } from '../support/world.ts';

const never = new Promise<never>(() => undefined);

describe('F19: the two callbacks', () => {
  test('always alternate: a slow onFollower delays the work', async ({ candidate, history }) => {
    const followed = new Deferred<void>();
    const alice = candidate('alice');
    await alice.campaign();
    const bob = candidate('bob', {
      onFollower: () => followed.promise,
      onLeader: (term: Term) => abortOf(term.signal),
    });
    void bob.campaign();
    await eventually(() => history.callbacks('bob').length === 1, { withinMs: SOON_MS });
    await alice.election.resign();
    await bob.elected();
    await bob.election.leader(); // a round trip, in which the work would have started
    expect(history.callbacks('bob')).toEqual(['onFollower']);
    followed.resolve();
    await eventually(() => history.callbacks('bob').includes('onLeader'), { withinMs: SOON_MS });
    await bob.election.resign();
    await eventually(
      () => history.callbacks('bob').filter((what) => what === 'onFollower over').length === 2,
      { withinMs: SOON_MS },
    );
    history.assertTurns('bob');
    expect(history.callbacks('bob')).toEqual([
      'onFollower',
      'onFollower over',
      'onLeader',
      'onLeader over',
      'onFollower',
      'onFollower over',
    ]);
  });

  test('onFollower is called once, however often the leader changes, until we lead', async ({
    candidate,
    history,
  }) => {
    const [alice, bob, carol] = [candidate('alice'), candidate('bob'), candidate('carol')];
    for (const one of [alice, bob, carol]) {
      void one.campaign();
      await one.queued();
    }
    await alice.election.resign();
    await bob.elected();
    await bob.election.resign();
    await carol.elected();
    await eventually(() => history.callbacks('carol').includes('onLeader'), { withinMs: SOON_MS });
    expect(history.callbacks('carol').filter((what) => what === 'onFollower')).toHaveLength(1);
    history.assertTurns('carol');
  });

  test('keep this order across resign() and campaign(), awaited or not, with slow work', async ({
    candidate,
    history,
  }) => {
    const drainTimeoutMs = 50;
    const alice = candidate('alice', {
      guard: { burst: 20 },
      drainTimeoutMs,
      onLeader: async (term) => {
        await abortOf(term.signal);
        await sleep(3 * drainTimeoutMs);
      },
      onFollower: () => sleep(drainTimeoutMs / 2),
    });
    for (let round = 0; round < 4; round++) {
      await alice.campaign();
      if (round % 2 === 0) await alice.election.resign();
      else void alice.election.resign();
    }
    await alice.election.close();
    await eventually(() => history.callbacks('alice').filter((what) => what.endsWith('over')).length === 8, {
      withinMs: SOON_MS,
    });
    history.assertTurns('alice', { overdue: true });
  });

  test('keep this order while the leadership moves back and forth', async ({ candidate, history }) => {
    const pair = ['alice', 'bob'].map((who) =>
      candidate(who, {
        guard: { burst: 20 },
        onLeader: (term) => abortOf(term.signal),
        onFollower: () => sleep(5),
      }),
    );
    for (const one of pair) {
      void one.campaign();
      await one.queued();
    }
    for (let round = 0; round < 6; round++) {
      const one = pair[round % 2]!;
      await one.elected();
      await one.election.stepDown();
      await one.queued();
    }
    await Promise.all(pair.map(({ election }) => election.close()));
    for (const { who } of pair) {
      history.assertTurns(who);
      expect(history.callbacks(who).filter((what) => what === 'onLeader').length).toBeGreaterThanOrEqual(2);
    }
    expect(history.leadersAtOnce()).toBe(1);
  });

  test('while an onFollower never settles, we do not lead without work', async ({ candidate, history }) => {
    const alice = candidate('alice');
    await alice.campaign();
    const bob = candidate('bob', { drainTimeoutMs: 200, onFollower: () => never });
    const carol = candidate('carol');
    for (const one of [bob, carol]) {
      void one.campaign();
      await one.queued();
    }
    await alice.election.resign();
    await carol.elected();
    expect(history.callbacks('bob')).toEqual(['onFollower']);
  });

  test('onFollower without onLeader is called at the end of each term', async ({ election, client }) => {
    let heard = 0;
    const one = election(client(), 'e', { onFollower: () => void heard++ });
    await one.campaign();
    expect(heard).toBe(0);
    for (const ends of [1, 2]) {
      await one.stepDown();
      await eventually(() => heard === ends, { withinMs: SOON_MS });
      await one.campaign();
    }
  });
});
