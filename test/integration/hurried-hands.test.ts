import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Term } from 'etcd-election';
import { describe, expect } from 'vitest';
import { Deferred } from '../../src/util/deferred.ts';
import { eventually, within } from '../support/eventually.ts';
import { abortOf, SHORT_TTL_SECONDS, SOON_MS, test, type World } from '../support/world.ts';

/** How long the clean-ups of these tests take, in milliseconds. */
const CLEANING_MS = 300;

/** What TypeScript takes for a listener that returns nothing, as it does in a program without a linter. */
const listener = (asynchronous: () => Promise<unknown>): (() => void) => asynchronous as () => void;

describe('an asynchronous abort listener of term.signal', () => {
  const ways: Record<string, (signal: AbortSignal, onAbort: () => void) => void> = {
    'by addEventListener': (signal, onAbort) => signal.addEventListener('abort', onAbort),
    'once, by addEventListener': (signal, onAbort) =>
      signal.addEventListener('abort', onAbort, { once: true }),
    'as an object': (signal, onAbort) => signal.addEventListener('abort', { handleEvent: onAbort }),
    'by onabort': (signal, onAbort) => {
      signal.onabort = onAbort;
    },
  };
  for (const [way, listen] of Object.entries(ways))
    test(`S5: is awaited before the key goes: ${way}`, async ({ candidate }) => {
      let isRunning = true;
      const alice = candidate('alice', {
        onLeader: ({ signal }) =>
          listen(
            signal,
            listener(async () => {
              await sleep(CLEANING_MS);
              isRunning = false;
            }),
          ),
      });
      let besideAlice: boolean | undefined;
      const bob = candidate('bob', {
        onLeader: () => {
          besideAlice = isRunning;
        },
      });
      await alice.campaign();
      void bob.campaign();
      await bob.queued();
      await within(SOON_MS, 'close()', alice.election.close());
      expect(isRunning).toBe(false);
      await bob.elected();
      expect(besideAlice).toBe(false);
    });

  test('is called no more once it is removed, and one that was added twice is called once', async ({
    candidate,
  }) => {
    const calls: string[] = [];
    const listener = (): void => void calls.push('listener');
    const removed = (): void => void calls.push('removed');
    const alice = candidate('alice');
    const { signal } = await alice.campaign();
    signal.addEventListener('abort', listener);
    signal.addEventListener('abort', listener);
    signal.addEventListener('abort', removed);
    signal.removeEventListener('abort', removed);
    await alice.election.close();
    expect(calls).toEqual(['listener']);
  });

  test('may await close(), and may fail: neither holds up or ends the process', async ({
    candidate,
    log,
  }) => {
    const alice = candidate('alice', { drainTimeoutMs: 60_000 });
    const { signal } = await alice.campaign();
    signal.addEventListener(
      'abort',
      listener(() => alice.election.close()),
    );
    const failing = async (): Promise<never> => {
      await sleep(1);
      throw new Error('the pool is closed');
    };
    signal.addEventListener('abort', listener(failing));
    await within(SOON_MS, 'stepDown()', alice.election.stepDown());
    await within(SOON_MS, 'close()', alice.election.close());
    expect(log.of('callback.failed')).toMatchObject([{ callback: 'onAbort' }]);
  });

  test('spawn() with term.signal and no listener for errors ends the child, not the process', async ({
    candidate,
    log,
  }) => {
    const alice = candidate('alice');
    const { signal } = await alice.campaign();
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { signal });
    const exited = new Promise((resolve) => child.on('exit', resolve));
    await alice.election.close();
    await exited;
    expect(log.of('callback.failed')).toEqual([]);
  });
});

test('client.close() ends the term at once', async ({ candidate, client }) => {
  const own = client();
  const alice = candidate('alice', { client: own, ttlSeconds: 60 });
  const term = await alice.campaign();
  own.close();
  expect(term.isCurrent()).toBe(false);
  expect(alice.election.isCurrent()).toBe(false);
  await within(SOON_MS, 'the end', abortOf(term.signal));
});

test('client.close() aborts the signal of a term that nobody asks', async ({ candidate, client }) => {
  const own = client();
  const alice = candidate('alice', { client: own, ttlSeconds: 60 });
  const { signal } = await alice.campaign();
  own.close();
  await within(SOON_MS, 'the end', abortOf(signal));
});

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

test('lead() inside lead() says in which order to enter', async ({ world }) => {
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

test('lead() without ifFree says that each replica has run its own work', async ({ world, log }) => {
  const nightly = (): Promise<void> => world.election(world.client(), 'nightly').lead(() => sleep(100));
  await Promise.all([nightly(), nightly()]);
  await eventually(() => log.of('usage.unusual').length === 1, { withinMs: SOON_MS });
  expect(log.of('usage.unusual')[0]).toMatchObject({ usage: 'in-turn', level: 30 });
  expect(log.of('usage.unusual')[0]!.msg).toContain('{ ifFree: true }');
});

test('two candidates that announce one value: the log says so, once', async ({ candidate, log }) => {
  const short = { ttlSeconds: SHORT_TTL_SECONDS };
  const [alice, bob, carol] = [candidate('alice', short), candidate('bob', short), candidate('carol', short)];
  await alice.campaign('worker');
  void bob.campaign('worker');
  void carol.campaign('carol');
  await eventually(() => log.of('usage.unusual').length > 0, { withinMs: 4 * SHORT_TTL_SECONDS * 1000 });
  expect(log.of('usage.unusual')[0]).toMatchObject({ usage: 'shared-value' });
});

test('work that is soon over, beside onFollower: the log says how to hand over', async ({
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

  test('a loop that never asks whether the term is current: the log says what goes on', async ({
    world,
    log,
  }) => {
    const alice = world.election(world.client());
    const term = await alice.campaign();
    await lose(world, term);
    await eventually(() => log.of('usage.unusual').length === 1, { withinMs: SOON_MS });
    expect(log.of('usage.unusual')[0]).toMatchObject({ usage: 'unused-term', level: 40 });
  });

  test('a loop over the first term alone: the log says that the new one is not used', async ({
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

  test('no line where the program asks the election, or asks for each term', async ({ world, log }) => {
    const [asks, again] = [world.election(world.client(), 'asks'), world.election(world.client(), 'again')];
    await lose(world, await asks.campaign());
    const first = await again.campaign();
    expect([typeof asks.isCurrent(), first.isCurrent()]).toEqual(['boolean', true]);
    await lose(world, first);
    await abortOf(first.signal);
    expect(await again.campaign()).not.toBe(first);
    await sleep(2_500); // a line would come after 2 s
    expect(log.of('usage.unusual')).toEqual([]);
  });
});

describe('what onLeader returns', () => {
  test('an array of clean-ups is called', async ({ election, client }) => {
    const calls: string[] = [];
    const alice = election(client(), 'e', {
      onLeader: () => ['one', 'two'].map((name) => () => void calls.push(name)),
    });
    await alice.campaign();
    await sleep(1); // it has returned
    await alice.close();
    expect(calls).toEqual(['two', 'one']);
  });

  const returned: Record<string, () => unknown> = {
    'stop()': () => ({ stop: () => undefined }),
    'unsubscribe()': () => ({ unsubscribe: () => undefined }),
    'a generator': function* () {
      yield 1;
    },
  };
  for (const [what, onLeader] of Object.entries(returned))
    test(`something with ${what}: the log says that nothing calls it`, async ({ election, client, log }) => {
      await election(client(), 'e', { onLeader }).campaign();
      await eventually(() => log.of('usage.unusual').length === 1, { withinMs: SOON_MS });
      expect(log.of('usage.unusual')[0]).toMatchObject({ usage: 'returned', level: 40 });
      expect(log.of('usage.unusual')[0]!.msg).toContain(what);
    });
});

test('a loop that ends by a flag of onFollower: the log says that the flag comes too late', async ({
  candidate,
  log,
}) => {
  let isRunning = true;
  const alice = candidate('alice', {
    drainTimeoutMs: 100,
    onLeader: async () => {
      while (isRunning) await sleep(5);
    },
    onFollower: () => {
      isRunning = false;
    },
  });
  await alice.campaign();
  await alice.election.resign();
  expect(log.of('drain.overdue')[0]!.msg).toContain('a flag that onFollower resets comes too late');
  isRunning = false;
});

test('isCurrent without its parentheses: the log says so', async ({ election, client, log }) => {
  const alice = election(client());
  let acts = 0;
  for (let turn = 0; turn < 5; turn++) if (alice.isCurrent as unknown) acts++;
  expect(acts).toBe(5);
  expect(alice.isCurrent()).toBe(false);
  expect(log.of('usage.unusual')).toMatchObject([{ usage: 'uncalled', level: 40 }]);
});
