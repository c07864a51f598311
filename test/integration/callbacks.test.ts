import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect } from 'vitest';
import { Deferred } from '../../src/util/deferred.ts';
import { BEAT_EVERY_MS } from '../../src/util/event-loop-stall.ts';
import { block } from '../support/block.ts';
import { eventually, within } from '../support/eventually.ts';
import { abortOf, SOON_MS, test } from '../support/world.ts';

const never = new Promise<never>(() => undefined);

describe('work that throws a value that is not an error', () => {
  test('ends the term', async ({ candidate, log }) => {
    const cause = {
      get(): never {
        throw new Error('no cause');
      },
    };
    let terms = 0;
    const alice = candidate('alice', {
      onLeader: () => {
        if (++terms === 1) throw Object.defineProperty(new Error('broken'), 'cause', cause);
      },
    });
    const term = await alice.campaign();
    await eventually(() => log.of('term.ended').length === 1, { withinMs: SOON_MS });
    expect(term.isCurrent()).toBe(false);
    expect(log.of('callback.failed')).toHaveLength(1);
    await alice.elected();
  });
});

describe('the end of a term', () => {
  test('S5: the work stops and is awaited, and only then the key is deleted', async ({
    candidate,
    history,
    world,
  }) => {
    const finish = new Deferred<void>();
    const stopped = new Deferred<void>();
    const alice = candidate('alice', {
      onLeader: async (term) => {
        await abortOf(term.signal);
        stopped.resolve();
        await finish.promise;
        history.note('work is over');
      },
    });
    const bob = candidate('bob', { onLeader: () => history.note('bob leads') });
    const { key } = await alice.campaign();
    void bob.campaign();
    await bob.queued();

    const resigning = alice.election.resign().then(() => history.note('resigned'));
    await within(SOON_MS, 'the signal', stopped.promise);
    await bob.election.leader(); // a round trip: all earlier messages have arrived
    expect((await world.keys())[0]).toBe(key);
    expect(alice.election.status.state).toBe('leaving');
    expect(bob.election.status.state).toBe('waiting');

    finish.resolve();
    await resigning;
    await bob.elected();
    const notes = history.acts.filter(({ what }) => what === 'note').map(({ detail }) => detail);
    expect(notes[0]).toBe('work is over');
    expect(notes).toContain('bob leads');
    expect(history.leadersAtOnce()).toBe(1);
  });

  test('S5: the lease is renewed while the work is awaited, so no other candidate leads', async ({
    candidate,
  }) => {
    const ttlSeconds = 2;
    const workMs = 1.5 * ttlSeconds * 1_000;
    const alice = candidate('alice', {
      ttlSeconds,
      drainTimeoutMs: 3 * workMs,
      onLeader: async (term) => {
        await abortOf(term.signal);
        await sleep(workMs);
      },
    });
    const bob = candidate('bob', { ttlSeconds });
    await alice.campaign();
    void bob.campaign();
    await bob.queued();
    let over = false;
    const resigning = alice.election.resign().then(() => (over = true));
    const { fencingToken } = (await bob.election.candidates())[0]!;
    await eventually(() => bob.election.status.state === 'leading', { withinMs: workMs + SOON_MS });
    expect(over || (await within(SOON_MS, 'resign()', resigning))).toBe(true);
    expect(bob.election.status.term!.fencingToken).toBeGreaterThan(fencingToken);
  });

  test('a drain that takes too long because the process stood still is logged as such', async ({
    candidate,
    log,
  }) => {
    const blockMs = 1_500;
    const work = new Deferred<void>();
    const alice = candidate('alice', { drainTimeoutMs: 1_000, onLeader: () => work.promise });
    const term = await alice.campaign();
    term.signal.addEventListener('abort', () => void setTimeout(() => block(blockMs), 50));
    await alice.election.close();
    const [line] = log.of('drain.overdue');
    expect(line!['stalledMs']).toBeGreaterThanOrEqual(blockMs - BEAT_EVERY_MS); // a stall is noticed by a late beat
    expect(line!.msg).toContain('the event loop of this process stood still for');
    work.resolve();
  });

  test('F16: work that ignores its signal holds the key for at most the drain, and is logged', async ({
    candidate,
    log,
    history,
  }) => {
    const drainTimeoutMs = 200;
    const work = new Deferred<void>();
    let works = 0;
    const alice = candidate('alice', {
      drainTimeoutMs,
      onLeader: async () => {
        works++;
        await work.promise;
      },
    });
    const bob = candidate('bob');
    await alice.campaign();
    void bob.campaign();
    await bob.queued();

    await within(drainTimeoutMs + SOON_MS, 'stepDown()', alice.election.stepDown());
    await bob.elected();
    expect(log.of('drain.overdue')).toMatchObject([{ stalledMs: 0 }]);
    expect(alice.election.status.position).toBeUndefined(); // it enters again only after the old work has ended
    expect(works).toBe(1);

    work.resolve();
    await alice.queued();
    await bob.election.resign();
    await alice.elected();
    expect(works).toBe(2);
    history.assertTurns('alice', { overdue: true });
  });

  test('work that rejects with the reason of the term is not a failure', async ({ candidate, log }) => {
    const alice = candidate('alice', {
      onLeader: async (term) => {
        await abortOf(term.signal);
        term.assertCurrent();
      },
    });
    await alice.campaign();
    await alice.election.resign();
    expect(log.of('callback.failed')).toEqual([]);
  });
});

describe('the work may', () => {
  test('resign from within', async ({ candidate, world, history }) => {
    const alice = candidate('alice', {
      onLeader: async () => {
        await alice.election.resign();
        history.note('resigned');
      },
    });
    await alice.campaign();
    await eventually(() => alice.election.status.state === 'idle', { withinMs: SOON_MS });
    expect(await world.keys()).toEqual([]);
    expect(history.acts.some(({ detail }) => detail === 'resigned')).toBe(true);
    history.assertTurns('alice');
  });

  test('resign before it has awaited anything', async ({ candidate, world }) => {
    const alice = candidate('alice', { onLeader: () => alice.election.resign() });
    await alice.campaign();
    await eventually(() => alice.election.status.state === 'idle', { withinMs: SOON_MS });
    expect(await world.keys()).toEqual([]);
  });

  test('step down from within, and lead again later', async ({ candidate, history }) => {
    let terms = 0;
    const alice = candidate('alice', {
      onLeader: async () => {
        if (++terms === 1) await alice.election.stepDown();
      },
    });
    const first = await alice.campaign();
    await eventually(() => terms === 2, { withinMs: SOON_MS });
    expect((await alice.elected()).fencingToken).toBeGreaterThan(first.fencingToken);
    history.assertTurns('alice');
  });

  test('close from within', async ({ candidate, world }) => {
    const alice = candidate('alice', { onLeader: () => alice.election.close() });
    await alice.campaign();
    await eventually(() => alice.election.status.state === 'closed', { withinMs: SOON_MS });
    expect(await world.keys()).toEqual([]);
  });

  test('resign another election, and wait for it', async ({ candidate, world }) => {
    // resign() from the work of its own term must not wait for that work; here the work belongs to another election.
    let keysThen: string[] | undefined;
    const order: string[] = [];
    const finish = new Deferred<void>();
    const inner = candidate('inner', {
      election: 'inner',
      onLeader: async (term) => {
        await abortOf(term.signal);
        await finish.promise;
        order.push('work is over');
      },
    });
    const outer = candidate('outer', {
      election: 'outer',
      onLeader: async () => {
        await inner.campaign();
        const resigning = inner.election.resign().then(() => order.push('resigned'));
        await world.keys('inner'); // a round trip, in which a resign() that does not wait would have ended
        finish.resolve();
        await resigning;
        keysThen = await world.keys('inner');
      },
    });
    await outer.campaign();
    await eventually(() => expect(keysThen).toEqual([]), { withinMs: SOON_MS });
    expect(order).toEqual(['work is over', 'resigned']);
    expect(await world.keys('outer')).toHaveLength(1);
  });
});

test('resign() from a timer that the work started resolves after the release', async ({
  candidate,
  world,
}) => {
  // Work that only sets things up, such as a server whose handler resigns later.
  const keysThen = new Deferred<string[]>();
  const alice = candidate('alice', {
    onLeader: () => {
      setTimeout(() => {
        void alice.election.resign().then(async () => keysThen.resolve(await world.keys()));
      }, 50);
    },
  });
  await alice.campaign();
  expect(await within(SOON_MS, 'resign()', keysThen.promise)).toEqual([]);
});

describe('F6: work that never settles', () => {
  const drainTimeoutMs = 200;

  test('does not delay resign() or close() beyond the drain', async ({ candidate, world }) => {
    const alice = candidate('alice', { drainTimeoutMs, onLeader: () => never });
    await alice.campaign();
    await within(drainTimeoutMs + SOON_MS, 'resign()', alice.election.resign());
    expect(await world.keys()).toEqual([]);
    await within(SOON_MS, 'close()', alice.election.close());
  });

  test('does not delay close() of a campaign that waits behind it', async ({ candidate }) => {
    const alice = candidate('alice', { drainTimeoutMs, onLeader: () => never });
    await alice.campaign();
    await alice.election.resign();
    const again = alice.campaign();
    await within(SOON_MS, 'close()', alice.election.close());
    await expect(within(SOON_MS, 'the end of the campaign', again)).rejects.toMatchObject({
      code: 'ELECTION_CLOSED',
    });
  });

  test('does not delay a loss: another candidate leads', async ({ candidate }) => {
    const alice = candidate('alice', { drainTimeoutMs, onLeader: () => never });
    const bob = candidate('bob');
    await alice.campaign();
    void bob.campaign();
    await bob.queued();
    await alice.election.stepDown();
    await bob.elected();
  });
});
