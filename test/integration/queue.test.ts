import { ElectionClosedError, type Term } from 'etcd-election';
import { describe, expect } from 'vitest';
import { ownName } from '../../src/util/own-name.ts';
import { eventually, within } from '../support/eventually.ts';
import { abortOf, SOON_MS, test, type TestCandidate } from '../support/world.ts';

/** Each one enters after the previous one is in the queue, so that the order is known. */
async function inOrder(candidates: readonly TestCandidate[]): Promise<void> {
  for (const one of candidates) {
    void one.campaign();
    await one.queued();
  }
}

describe('candidates', () => {
  test('two: the first leads, the second follows, and leads after the first resigns', async ({
    candidate,
    history,
  }) => {
    const [alice, bob] = [candidate('alice'), candidate('bob')];
    await inOrder([alice, bob]);

    await alice.elected();
    expect(bob.election.status).toMatchObject({ state: 'waiting', position: 2, leader: { value: 'alice' } });
    await eventually(() => history.callbacks('bob').length > 0, { withinMs: SOON_MS });
    expect(history.acts.find(({ who }) => who === 'bob')).toMatchObject({
      what: 'onFollower',
      detail: 'following alice',
    });

    await alice.election.resign();
    await bob.elected();
    expect(alice.election.status).toMatchObject({ state: 'idle', term: undefined, position: undefined });
    expect(history.leadersAtOnce()).toBe(1);
  });

  test('three lead in order of arrival', async ({ candidate, history }) => {
    const all = ['alice', 'bob', 'carol'].map((who) => candidate(who));
    await inOrder(all);
    for (const one of all) {
      await one.elected();
      await one.election.resign();
    }
    expect(history.leaders()).toEqual(['alice', 'bob', 'carol']);
    expect(history.leadersAtOnce()).toBe(1);
  });

  test('ten lead in order of arrival, each with a larger token', async ({ candidate, history }) => {
    const names = Array.from({ length: 10 }, (_, i) => `replica-${i}`);
    // In one process they share a guard, which would take ten concurrent campaigns for a runaway.
    const all = names.map((who) => candidate(who, { guard: { burst: 20 } }));
    await inOrder(all);
    expect(all.map(({ election }) => election.status.position)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    for (const one of all) {
      await one.elected();
      await one.election.resign();
    }
    expect(history.leaders()).toEqual(names);
    expect(history.tokens()).toEqual([...history.tokens()].sort((a, b) => Number(a - b)));
    expect(history.leadersAtOnce()).toBe(1);
  });

  test('F13: a candidate in the middle leaves, and the third does not lead', async ({
    candidate,
    history,
  }) => {
    const [alice, bob, carol] = [candidate('alice'), candidate('bob'), candidate('carol')];
    await inOrder([alice, bob, carol]);
    await alice.elected();

    await bob.election.resign();

    await eventually(() => carol.election.status.position === 2, { withinMs: SOON_MS });
    expect(carol.election.status.state).toBe('waiting');
    expect(carol.election.status.leader?.value).toBe('alice');
    await alice.election.resign();
    await carol.elected();
    expect(history.leaders()).toEqual(['alice', 'carol']);
    expect(history.leadersAtOnce()).toBe(1);
  });

  test('a leader that steps down enters again at the back of the queue', async ({ candidate, history }) => {
    const [alice, bob, carol] = [candidate('alice'), candidate('bob'), candidate('carol')];
    await inOrder([alice, bob, carol]);
    for (const one of [alice, bob, carol]) {
      await one.elected();
      await one.election.stepDown();
      await one.queued();
    }
    await alice.elected();
    expect(history.leaders()).toEqual(['alice', 'bob', 'carol', 'alice']);
    expect(history.leadersAtOnce()).toBe(1);
  });

  test('stepDown() without leadership does nothing', async ({ candidate, client, election }) => {
    const [alice, bob] = [candidate('alice'), candidate('bob')];
    await inOrder([alice, bob]);
    await bob.election.stepDown();
    expect(bob.election.status).toMatchObject({ state: 'waiting', position: 2 });
    await election(client(), 'never stood').stepDown();
  });

  test('candidates() shows the queue in order, also to observers', async ({
    candidate,
    client,
    election,
  }) => {
    const all = ['alice', 'bob', 'carol'].map((who) => candidate(who));
    await inOrder(all);
    const candidates = await election(client()).candidates();
    expect(candidates.map(({ value }) => value)).toEqual(['alice', 'bob', 'carol']);
    const term = await all[0]!.elected();
    expect(candidates[0]).toEqual({
      key: term.key,
      value: 'alice',
      fencingToken: term.fencingToken,
      leaseId: term.leaseId,
      isMe: false,
    });
  });
});

describe('the value of a candidate', () => {
  test('is its own IP address by default', async ({ election, client }) => {
    const one = election(client());
    const term = await one.campaign();
    expect(term.value).toBe(ownName());
    expect((await one.leader())?.value).toBe(ownName());
  });

  test('is any text in UTF-8', async ({ candidate, client, election, world }) => {
    const value = 'Zürich 東京 🗼 "quoted"\n\u0000 end';
    const term = await candidate('alice').campaign(value);
    expect((await election(client()).leader())?.value).toBe(value);
    expect(await world.own.get(term.key).string()).toBe(value);
  });

  test('may be empty', async ({ candidate, client, election }) => {
    await candidate('alice').campaign('');
    expect((await election(client()).leader())?.value).toBe('');
  });
});

describe('campaign()', () => {
  test('during a campaign returns the current term or the next one', async ({ candidate }) => {
    const alice = candidate('alice');
    const first = alice.campaign();
    expect(await alice.campaign()).toBe(await first);
    expect(await alice.campaign()).toBe(await first);
    await alice.election.stepDown();
    const next = await alice.campaign();
    expect(next).not.toBe(await first);
    expect(next.isCurrent()).toBe(true);
  });

  test('just after a term returns the next one, never an ended one', async ({ candidate }) => {
    const alice = candidate('alice');
    const term = await alice.campaign();
    const stepping = alice.election.stepDown();
    expect(term.signal.aborted).toBe(true);
    const next = await within(SOON_MS, 'the next term', alice.campaign());
    expect(next.isCurrent()).toBe(true);
    expect(next.fencingToken).toBeGreaterThan(term.fencingToken);
    await stepping;
  });

  test('after resign() starts a new campaign', async ({ candidate }) => {
    const alice = candidate('alice');
    const first = await alice.campaign();
    await alice.election.resign();
    const second = await alice.campaign();
    expect(second.fencingToken).toBeGreaterThan(first.fencingToken);
  });

  test('right after an un-awaited resign() starts a new campaign too', async ({ candidate }) => {
    const alice = candidate('alice');
    const first = await alice.campaign();
    void alice.election.resign();
    const second = await within(SOON_MS, 'the second term', alice.campaign());
    expect(second.fencingToken).toBeGreaterThan(first.fencingToken);
  });
});

describe('calls that the guard holds', () => {
  test('are rejected if the campaign ends, and never return an ended term', async ({ candidate }) => {
    const alice = candidate('alice');
    await alice.campaign();
    const calls = Array.from({ length: 8 }, () => alice.campaign());
    await alice.election.resign();
    for (const [at, call] of calls.entries()) {
      const outcome = await call.then(
        (term) => (at < 5 ? 'early' : `over: ${term.signal.aborted}`),
        (error: unknown) => error,
      );
      if (outcome !== 'early') expect(outcome, `call ${at}`).toBeInstanceOf(ElectionClosedError);
    }
  });

  test('return the next term if the term changes within this process', async ({ candidate }) => {
    const alice = candidate('alice');
    await alice.campaign();
    const calls = Array.from({ length: 8 }, () => alice.campaign());
    await alice.election.stepDown();
    const last = await within(2 * SOON_MS, 'the last call', calls.at(-1)!);
    expect(last.isCurrent()).toBe(true);
    await Promise.all(calls);
  });
});

describe('lead()', () => {
  test('waits, runs the work as leader, resigns, and returns the result of the work', async ({
    world,
    election,
    client,
  }) => {
    const one = election(client());
    let keysMeanwhile: string[] = [];
    const token = await one.lead(async (term) => {
      keysMeanwhile = await world.keys();
      return term.fencingToken;
    });
    expect(token).toBeTypeOf('bigint');
    expect(keysMeanwhile).toHaveLength(1);
    expect(await world.keys()).toEqual([]);
    expect(one.status.state).toBe('idle');
  });

  test('rejects with the error of the work, and resigns', async ({ world, election, client }) => {
    const one = election(client());
    const failure = new Error('disk full');
    await expect(one.lead(() => Promise.reject(failure))).rejects.toBe(failure);
    await expect(
      one.lead(() => {
        throw failure;
      }),
    ).rejects.toBe(failure);
    expect(await world.keys()).toEqual([]);
  });

  test('stops waiting when its signal aborts', async ({ candidate, election, client, world }) => {
    const alice = candidate('alice');
    await alice.campaign();
    const stop = new AbortController();
    const one = election(client());
    const leading = one.lead(async () => 'never', { signal: stop.signal });
    await eventually(() => one.status.position === 2, { withinMs: SOON_MS });
    stop.abort();
    await expect(leading).rejects.toBeInstanceOf(ElectionClosedError);
    expect(await world.keys()).toHaveLength(1);
  });

  test('S5: ends the term when its signal aborts during the work, and awaits the work', async ({
    election,
    client,
    world,
  }) => {
    const stop = new AbortController();
    const one = election(client());
    let keysAtTheEnd: string[] = [];
    const result = await one.lead(
      async (term) => {
        stop.abort();
        expect(await abortOf(term.signal)).toMatchObject({ reason: 'aborted' });
        keysAtTheEnd = await world.keys();
        return 'cleaned up';
      },
      { signal: stop.signal },
    );
    expect(result).toBe('cleaned up');
    expect(keysAtTheEnd).toHaveLength(1);
    expect(await world.keys()).toEqual([]);
  });

  test('does nothing if its signal has already aborted', async ({ election, client }) => {
    let worked = false;
    const leading = election(client()).lead(async () => (worked = true), { signal: AbortSignal.abort() });
    await expect(leading).rejects.toBeInstanceOf(ElectionClosedError);
    expect(worked).toBe(false);
  });

  test('settles as the work settles if the term ends early', async ({ election, client, world }) => {
    const one = election(client());
    const result = await one.lead(async (term: Term) => {
      await world.own.delete().key(term.key).exec();
      const reason = await abortOf(term.signal);
      return (reason as { reason: string }).reason;
    });
    expect(result).toBe('evicted');
    expect(await world.keys()).toEqual([]);
  });

  test('called many times in a row runs each in turn', async ({ election, client, history, log }) => {
    const workers = ['alice', 'bob', 'carol'].map((who) => ({
      who,
      one: election(client(), 'e', { guard: { burst: 20 } }),
    }));
    await Promise.all(
      workers.map(async ({ who, one }) => {
        for (let round = 0; round < 3; round++)
          await one.lead(async (term) => {
            history.record(who, 'leads', term.fencingToken);
            await one.leader();
            history.record(who, 'stopped', term.fencingToken);
          });
      }),
    );
    expect(history.leaders()).toHaveLength(9);
    expect(history.leadersAtOnce()).toBe(1);
    expect(log.of('callback.failed')).toEqual([]);
  });
});
