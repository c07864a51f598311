import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { InvalidInputError, LeadershipLostError } from 'etcd-election';
import { describe, expect } from 'vitest';
import { Deferred } from '../../src/util/deferred.ts';
import { eventually, within } from '../support/eventually.ts';
import { abortOf, SOON_MS, test } from '../support/world.ts';

/** How long the consumers of these tests take to stop, in milliseconds. */
const STOPPING_MS = 400;

describe('what onLeader returns', () => {
  test('a function, or a promise of one, is called at the end and awaited', async ({ candidate, world }) => {
    const order: string[] = [];
    const cleanUp = async (): Promise<void> => {
      await world.own.get('x');
      order.push('cleaned up');
    };
    for (const onLeader of [() => cleanUp, () => Promise.resolve(cleanUp)]) {
      const alice = candidate('alice', { election: `e${order.length}`, onLeader: undefined });
      // The candidate of these tests records its callbacks and returns nothing.
      const one = world.election(world.client(), `f${order.length}`, { onLeader });
      await alice.campaign();
      await one.campaign();
      await one.resign();
      order.push('resigned');
    }
    expect(order).toEqual(['cleaned up', 'resigned', 'cleaned up', 'resigned']);
  });

  test('an interval is cleared, and a disposable is disposed of', async ({ client, election }) => {
    let ticks = 0;
    const interval = election(client(), 'interval', { onLeader: () => setInterval(() => ticks++, 5) });
    const term = await interval.campaign();
    await eventually(() => ticks > 2, { withinMs: SOON_MS });
    await interval.resign();
    const then = ticks;
    await sleep(50);
    expect(ticks).toBe(then);
    expect(term.isCurrent()).toBe(false);

    const over = new Deferred<void>();
    const disposable = election(client(), 'disposable', {
      onLeader: async () => ({
        async [Symbol.asyncDispose]() {
          await sleep(20);
          over.resolve();
        },
      }),
    });
    await disposable.campaign();
    await disposable.close();
    await within(1, 'the disposal', over.promise);
  });

  test('lead() returns it, and does not call it', async ({ client, election }) => {
    let calls = 0;
    const fn = await election(client(), 'e').lead(async () => () => ++calls);
    expect(calls).toBe(0);
    expect(fn()).toBe(1);
  });
});

describe('term.onEnd()', () => {
  test('clean-ups run one at a time in reverse order, and a failing one stops no other', async ({
    candidate,
    log,
  }) => {
    const order: string[] = [];
    const alice = candidate('alice', {
      onLeader: (term) => {
        term.onEnd(async () => {
          await sleep(5);
          order.push('first');
        });
        term.onEnd(() => Promise.reject(new Error('cannot stop')));
        term.onEnd(async () => {
          await sleep(20);
          order.push(`last, aborted: ${term.signal.aborted}`);
        });
      },
    });
    await alice.campaign();
    await alice.election.resign();
    expect(order).toEqual(['last, aborted: true', 'first']);
    expect(log.of('callback.failed')).toMatchObject([{ callback: 'onEnd' }]);
  });

  test('a clean-up that ends the work is called before the work is awaited', async ({ candidate }) => {
    const alice = candidate('alice', {
      onLeader: async (term) => {
        const stopped = new Deferred<void>();
        term.onEnd(() => stopped.resolve());
        await stopped.promise;
      },
    });
    await alice.campaign();
    await within(SOON_MS, 'resign()', alice.election.resign());
  });

  test('after the end it is called at once', async ({ candidate }) => {
    const alice = candidate('alice');
    const term = await alice.campaign();
    await alice.election.resign();
    let called = false;
    term.onEnd(() => (called = true));
    expect(called).toBe(true);
    expect(() => term.onEnd(7 as never)).toThrow(InvalidInputError);
  });
});

describe('term.run()', () => {
  test('S5: registered work is awaited although onLeader has returned', async ({ candidate }) => {
    let isOver = false;
    const alice = candidate('alice', {
      onLeader: (term) => {
        void term.run(async () => {
          await abortOf(term.signal);
          await sleep(STOPPING_MS);
          isOver = true;
        });
      },
    });
    await alice.campaign();
    await alice.election.resign();
    expect(isOver).toBe(true);
  });

  test('one of two loops fails: one term ends, and both loops stop before the next one', async ({
    candidate,
    log,
  }) => {
    let [loops, most, generations] = [0, 0, 0];
    const loop = async (signal: AbortSignal): Promise<void> => {
      most = Math.max(most, ++loops);
      await abortOf(signal);
      await sleep(STOPPING_MS);
      loops--;
    };
    const alice = candidate('alice', {
      onLeader: (term) => {
        generations++;
        return Promise.all([
          term.run(loop(term.signal)),
          term.run(async () => {
            await sleep(20);
            throw new Error('database gone');
          }),
        ]);
      },
    });
    await alice.campaign();
    await eventually(() => generations === 2, { withinMs: SOON_MS });
    expect(most).toBe(1);
    expect(log.of('term.ended')[0]).toMatchObject({ reason: 'work-failed' });
    await alice.election.close();
  });

  test('a child process is awaited', async ({ candidate }) => {
    const exited = new Deferred<number | null>();
    const alice = candidate('alice', {
      onLeader: (term) => {
        const child = spawn(
          process.execPath,
          [
            '-e',
            'process.on("SIGTERM", () => setTimeout(process.exit, 50)); setInterval(() => 0, 1000); console.log("up")',
          ],
          { stdio: ['ignore', 'pipe', 'ignore'] },
        );
        void term.run(async () => {
          await once(child.stdout, 'data');
          await abortOf(term.signal);
          child.kill('SIGTERM');
          await once(child, 'exit');
          exited.resolve(child.exitCode);
        });
      },
    });
    await alice.campaign();
    await alice.election.resign();
    expect(await within(1, 'its exit', exited.promise)).toBe(0);
  });

  test('after the end a function is not called, and an unused promise causes no error', async ({
    candidate,
  }) => {
    const alice = candidate('alice');
    const term = await alice.campaign();
    await alice.election.resign();
    await expect(term.run(() => expect.fail('called'))).rejects.toBeInstanceOf(LeadershipLostError);
    void term.run(Promise.reject(new Error('unheard')));
    await sleep(1);
  });
});

describe('term.every()', () => {
  test('calls at once and then at its interval, never twice at a time or after the term', async ({
    candidate,
  }) => {
    let [calls, underWay, most] = [0, 0, 0];
    const alice = candidate('alice', {
      onLeader: (term) =>
        term.every(5, async () => {
          calls++;
          most = Math.max(most, ++underWay);
          await sleep(20);
          underWay--;
        }),
    });
    await alice.campaign();
    expect(calls).toBe(1);
    await eventually(() => calls > 3, { withinMs: SOON_MS });
    await alice.election.resign();
    expect([most, underWay]).toEqual([1, 0]);
    const then = calls;
    await sleep(50);
    expect(calls).toBe(then);
  });

  test('a job that fails ends the term', async ({ candidate, log }) => {
    const alice = candidate('alice', {
      onLeader: (term) => term.every(1, () => Promise.reject(new Error('broken job'))),
    });
    await alice.campaign();
    await eventually(() => log.of('term.ended').length > 0, { withinMs: SOON_MS });
    expect(log.of('callback.failed')[0]).toMatchObject({ callback: 'every' });
    expect(log.of('term.ended')[0]).toMatchObject({ reason: 'work-failed' });
  });

  test('refuses an invalid interval, and an invalid job', async ({ candidate }) => {
    const term = await candidate('alice').campaign();
    for (const ms of [0, -1, NaN, Infinity, 2 ** 31, '5'])
      expect(() => term.every(ms as number, () => 0)).toThrow(InvalidInputError);
    expect(() => term.every(5, undefined as never)).toThrow(InvalidInputError);
  });
});
