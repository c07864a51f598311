import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Candidate, Term } from 'etcd-election';
import { describe, expect } from 'vitest';
import { Deferred } from '../../src/util/deferred.ts';
import { eventually, within } from '../support/eventually.ts';
import { abortOf, SOON_MS, test, type World } from '../support/world.ts';
import { listener } from '../support/async-listener.ts';

test('client.close() ends the term at once', async ({ candidate, client }) => {
  const own = client();
  const alice = candidate('alice', { client: own, ttlSeconds: 60 });
  const term = await alice.campaign();
  own.close();
  expect(term.isCurrent()).toBe(false);
  expect(alice.election.isCurrent()).toBe(false);
  await within(SOON_MS, 'the end', abortOf(term.signal));
});

test('client.close() aborts the signal of a term that the program never checks', async ({
  candidate,
  client,
}) => {
  const own = client();
  const alice = candidate('alice', { client: own, ttlSeconds: 60 });
  const { signal } = await alice.campaign();
  own.close();
  await within(SOON_MS, 'the end', abortOf(signal));
});

test.for(['at once', 'after the term'] as const)(
  'client.close() and then close() %s: a warning names the mistake',
  async (when, { candidate, client, log }) => {
    const own = client();
    const alice = candidate('alice', { client: own, ttlSeconds: 60 });
    const { signal } = await alice.campaign();
    own.close();
    if (when === 'after the term') await within(SOON_MS, 'the end', abortOf(signal));
    await alice.election.close();
    expect(log.of('usage.unusual')).toMatchObject([{ usage: 'closed-client', level: 40 }]);
    expect(log.of('usage.unusual')[0]!.msg).toMatch(/client was closed while this replica led .* up to 60 s/);
  },
);

describe('callbacks of two elections that close each other', () => {
  for (const callback of ['onFollower', 'onLeader'] as const)
    test(`S5: ${callback} of each awaits close() of the other: both end at once`, async ({
      election,
      client,
    }) => {
      const shared = client();
      const go = new Deferred<void>();
      const closes = (other: () => { close(): Promise<void> }) => async (): Promise<void> => {
        await go.promise;
        await other().close();
      };
      const options = { drainTimeoutMs: 60_000 };
      const one = election(shared, 'one', { ...options, [callback]: closes(() => two) });
      const two = election(shared, 'two', { ...options, [callback]: closes(() => one) });
      await Promise.all([one.campaign(), two.campaign()]);
      go.resolve();
      await within(SOON_MS, 'both', Promise.all([one.close(), two.close()]));
    });
});

test('lead() inside lead(): the error says in which order to enter', async ({ world }) => {
  const [alice, bob] = [world.client(), world.client()];
  const outer = world.election(alice, 'outer');
  const inner = world.election(alice, 'inner');
  const other = world.election(bob, 'inner');
  await other.campaign('bob');
  const stop = new AbortController();
  const nested = outer.lead(() => inner.lead(async () => undefined, { signal: stop.signal }));
  await eventually(() => world.log.of('candidate.waiting').length === 1, { withinMs: 2 * SOON_MS });
  expect(world.log.of('candidate.waiting')[0]).toMatchObject({ level: 40, awaitedBy: 'outer' });
  stop.abort();
  await expect(nested).rejects.toThrow('its signal aborted');
});

test('lead() without ifFree: the log says that each replica ran its own work', async ({ world, log }) => {
  const bothStand = new Deferred<void>();
  const nightly = (): Promise<void> =>
    world.election(world.client(), 'nightly').lead(() => bothStand.promise);
  const both = [nightly(), nightly()];
  await eventually(async () => (await world.keys('nightly')).length === 2, { withinMs: SOON_MS });
  bothStand.resolve();
  await Promise.all(both);
  await eventually(() => log.of('usage.unusual').length === 1, { withinMs: SOON_MS });
  expect(log.of('usage.unusual')[0]).toMatchObject({ usage: 'in-turn', level: 30 });
  expect(log.of('usage.unusual')[0]!.msg).toContain('{ ifFree: true }');
});

test('two candidates announce the same value: the log says so once', async ({ candidate, log }) => {
  const ttlSeconds = 4; // the line comes after three of them, and a lease that a busy machine loses begins them again
  const short = { ttlSeconds };
  const [alice, bob, carol] = [candidate('alice', short), candidate('bob', short), candidate('carol', short)];
  await alice.campaign('worker');
  void bob.campaign('worker');
  void carol.campaign('carol');
  await eventually(() => log.of('usage.unusual').length > 0, { withinMs: 6 * ttlSeconds * 1_000 + SOON_MS });
  expect(log.of('usage.unusual')[0]).toMatchObject({ usage: 'shared-value' });
});

test('work that ends early, beside onFollower: the log says how to hand over', async ({
  election,
  client,
  log,
}) => {
  const alice = election(client(), 'e', { onLeader: () => sleep(150), onFollower: () => undefined });
  await alice.campaign();
  await eventually(() => log.of('usage.unusual').length === 1, { withinMs: SOON_MS });
  expect(log.of('usage.unusual')[0]!.msg).toContain("whenWorkEnds: 'step-down'");
});

describe('campaign() without callbacks', () => {
  const lose = async (world: World, term: Term): Promise<void> =>
    void (await world.own.delete().key(term.key).exec());

  test('a loop that never checks the term: the log says that it continues after the term', async ({
    world,
    log,
  }) => {
    const alice = world.election(world.client());
    const term = await alice.campaign();
    await lose(world, term);
    await eventually(() => log.of('usage.unusual').length === 1, { withinMs: SOON_MS });
    expect(log.of('usage.unusual')[0]).toMatchObject({ usage: 'unused-term', level: 40 });
  });

  test('a loop over the first term alone: the log says that it ignores the new one', async ({
    world,
    log,
  }) => {
    const alice = world.election(world.client());
    const term = await alice.campaign();
    expect(term.isCurrent()).toBe(true);
    await lose(world, term);
    await eventually(() => log.of('usage.unusual').length === 1, { withinMs: 3 * SOON_MS });
    expect(log.of('usage.unusual')[0]!.msg).toContain('nothing uses the new term');
  });

  test('a program that asks the election, or takes each term, causes no line', async ({ world, log }) => {
    const [asks, again] = [world.election(world.client(), 'asks'), world.election(world.client(), 'again')];
    await lose(world, await asks.campaign());
    const first = await again.campaign();
    const looks = Array.from({ length: 3 }, () => typeof asks.isCurrent()); // as before every act
    expect([...looks, first.isCurrent()]).toEqual(['boolean', 'boolean', 'boolean', true]);
    await lose(world, first);
    await abortOf(first.signal);
    expect(await again.campaign()).not.toBe(first);
    await sleep(2_500); // a line would be written after 2 s
    expect(log.of('usage.unusual')).toEqual([]);
  });
});

describe('what a program decides once', () => {
  test('isCurrent() asked once at the start: the log says that nothing uses a later term', async ({
    candidate,
    world,
    log,
  }) => {
    const alice = candidate('alice');
    await alice.campaign();
    const bob = world.election(world.client());
    void bob.campaign();
    expect(bob.isCurrent()).toBe(false); // so it starts nothing
    await eventually(async () => (await world.keys()).length === 2, { withinMs: SOON_MS });
    await alice.election.close();
    await eventually(() => log.of('usage.unusual').length === 1, { withinMs: 2 * SOON_MS });
    expect(log.of('usage.unusual')[0]).toMatchObject({ usage: 'unused-term', level: 40 });
  });

  const ends = { 'close()': 'close', 'resign()': 'resign' } as const;
  for (const [way, end] of Object.entries(ends))
    test(`a term that nothing has asked until ${way}: the log says what continues, and how to take a lock`, async ({
      world,
      log,
    }) => {
      const election = world.election(world.client());
      await election.campaign();
      await election[end]();
      expect(log.of('usage.unusual')).toMatchObject([{ usage: 'unasked-term', level: 30 }]);
      expect(log.of('usage.unusual')[0]!.msg).toMatch(/^(close|resign)\(\) ended .* ifFree: true/);
    });

  test('a signal that times out while we lead: the log says that it closes the election', async ({
    world,
    log,
  }) => {
    const timeout = new AbortController();
    const election = world.election(world.client(), 'e', { signal: timeout.signal });
    const term = await election.campaign();
    timeout.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError')); // as of AbortSignal.timeout()
    expect(term.isCurrent()).toBe(false);
    await eventually(() => election.status.state === 'closed', { withinMs: SOON_MS });
    expect(log.of('usage.unusual')).toMatchObject([{ usage: 'timed-out', level: 40 }]);
  });
});

describe('work that onLeaderChange starts and stops', () => {
  for (const isAsync of [false, true])
    test(`${isAsync ? 'a promise is not awaited, and the log says so' : 'it is stopped before the next replica leads'}`, async ({
      world,
      log,
    }) => {
      const running = new Set<string>();
      const mayStop = new Deferred<void>();
      let besideAlice: boolean | undefined;
      const run = (who: string) => ({
        onLeaderChange: async (leader: Candidate | undefined) => {
          if (leader?.isMe === true) {
            besideAlice ??= who === 'bob' ? running.has('alice') : undefined;
            running.add(who);
          } else if (isAsync && running.has(who)) await mayStop.promise.then(() => running.delete(who));
          else running.delete(who);
        },
      });
      const [alice, bob] = [
        world.election(world.client(), 'e', run('alice')),
        world.election(world.client(), 'e', run('bob')),
      ];
      await alice.campaign();
      void bob.campaign();
      await eventually(() => bob.status.position === 2, { withinMs: SOON_MS });
      await alice.close();
      await eventually(() => besideAlice !== undefined, { withinMs: SOON_MS });
      mayStop.resolve();
      expect(besideAlice).toBe(isAsync);
      expect(log.of('usage.unusual').map(({ usage }) => usage)).toEqual(isAsync ? ['unawaited'] : []);
      await eventually(() => !running.has('alice'), { withinMs: SOON_MS });
    });

  test('onFollower that returns what emit() returned: the log says that nothing awaits the listeners', async ({
    world,
    log,
  }) => {
    const leadership = new EventEmitter().on(
      'deposed',
      listener(() => sleep(1)),
    );
    const election = world.election(world.client(), 'e', {
      onLeader: () => undefined,
      onFollower: () => leadership.emit('deposed'),
    });
    await election.campaign();
    await election.stepDown();
    await eventually(() => log.of('usage.unusual').length === 1, { withinMs: SOON_MS });
    expect(log.of('usage.unusual')[0]).toMatchObject({ usage: 'emitted', level: 30 });
  });
});

describe('what onLeader returns', () => {
  test('an array of clean-ups is called', async ({ election, client }) => {
    const calls: string[] = [];
    const alice = election(client(), 'e', {
      onLeader: () => ['one', 'two'].map((name) => () => void calls.push(name)),
    });
    await alice.campaign();
    await sleep(1); // onLeader has returned
    await alice.close();
    expect(calls).toEqual(['two', 'one']);
  });

  const returned: Record<string, (term: Term) => unknown> = {
    'stop()': () => ({ stop: () => undefined }),
    'unsubscribe()': () => ({ unsubscribe: () => undefined }),
    'close()': async (term) => {
      await term.proclaim('ready'); // does not show that the program listens to the end of the term
      return { close: () => undefined };
    },
    'a generator': function* () {
      yield 1;
    },
  };
  for (const [what, onLeader] of Object.entries(returned))
    test(`something with ${what}: the log says that it is not called`, async ({ election, client, log }) => {
      await election(client(), 'e', { onLeader }).campaign();
      await eventually(() => log.of('usage.unusual').length === 1, { withinMs: SOON_MS });
      expect(log.of('usage.unusual')[0]).toMatchObject({ usage: 'returned', level: 40 });
      expect(log.of('usage.unusual')[0]!.msg).toContain(what);
    });
});

test('S5: a loop that ends when onFollower sets a flag stops before the key is deleted, and the log says how late', async ({
  candidate,
  log,
}) => {
  let isRunning = false;
  const run = async (): Promise<void> => {
    while (isRunning) await sleep(5);
  };
  const consumer = {
    start: async () => {
      isRunning = true;
      await run();
    },
    stop: () => {
      isRunning = false;
    },
  };
  let besideAlice: boolean | undefined;
  const alice = candidate('alice', {
    drainTimeoutMs: 8_000, // after three quarters onFollower is called: the last one is longer than a stall of the machine
    onLeader: () => consumer.start(),
    onFollower: () => consumer.stop(),
  });
  const bob = candidate('bob', {
    onLeader: () => {
      besideAlice = isRunning;
    },
  });
  await alice.campaign();
  void bob.campaign();
  await bob.queued();
  await alice.election.resign();
  await bob.elected();
  expect(besideAlice).toBe(false);
  expect(log.of('drain.overdue')).toEqual([]);
  expect(log.of('usage.unusual').map(({ usage }) => usage)).toContain('stopped-late');
});

test('isCurrent without its parentheses: the log reports it', async ({ election, client, log }) => {
  const alice = election(client());
  let acts = 0;
  for (let turn = 0; turn < 5; turn++) if (alice.isCurrent as unknown) acts++;
  expect(acts).toBe(5);
  expect(alice.isCurrent()).toBe(false);
  expect(log.of('usage.unusual')).toMatchObject([{ usage: 'uncalled', level: 40 }]);
});
