import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { InvalidInputError, LeadershipLostError, type Leader } from 'etcd-election';
import { describe, expect } from 'vitest';
import { Deferred } from '../../src/util/deferred.ts';
import { eventually, within } from '../support/eventually.ts';
import { abortOf, SOON_MS, test, TTL_SECONDS } from '../support/world.ts';

/** How long the consumers of these tests take to stop, in milliseconds. */
const STOPPING_MS = 400;

describe('a consumer that one callback starts and the other stops', () => {
  /** `stop()` finishes what is in hand first. */
  class Consumer {
    isRunning = false;
    start(): void {
      this.isRunning = true;
    }
    async stop(): Promise<void> {
      if (!this.isRunning) return;
      await sleep(STOPPING_MS);
      this.isRunning = false;
    }
  }

  for (const end of ['stepDown', 'resign', 'close'] as const)
    test(`S5: ${end}() gives up the key, and resolves, after onFollower has stopped it`, async ({
      candidate,
      history,
    }) => {
      const consumer = new Consumer();
      const alice = candidate('alice', {
        onLeader: () => consumer.start(),
        onFollower: () => consumer.stop(),
      });
      let besideAlice: boolean | undefined;
      const bob = candidate('bob', {
        onLeader: () => {
          besideAlice = consumer.isRunning;
        },
      });
      await alice.campaign();
      void bob.campaign();
      await bob.queued();
      await within(SOON_MS, end, alice.election[end]());
      expect(consumer.isRunning).toBe(false);
      await bob.elected();
      expect(besideAlice).toBe(false);
      history.assertTurns('alice');
      history.assertTurns('bob');
    });

  test('S5: a lost key stops it before we stand again', async ({ candidate, world }) => {
    const consumer = new Consumer();
    const starts: boolean[] = [];
    const alice = candidate('alice', {
      onLeader: () => {
        starts.push(consumer.isRunning);
        consumer.start();
      },
      onFollower: () => consumer.stop(),
    });
    const term = await alice.campaign();
    await world.own.delete().key(term.key).exec();
    await eventually(() => starts.length === 2, { withinMs: SOON_MS });
    expect(starts).toEqual([false, false]);
  });

  test('S5: a failed write that the guard holds does not hold up the end', async ({ candidate, log }) => {
    const alice = candidate('alice', {
      drainTimeoutMs: 4 * SOON_MS,
      guard: { burst: 1, baseMs: 4 * SOON_MS, outsideCapMs: 4 * SOON_MS, capMs: 4 * SOON_MS },
      onLeader: async (term) => {
        const { client } = alice;
        for (let i = 0; i < 10 && !term.signal.aborted; i++)
          await term
            .txn()
            .then(client.put('twice').value('1'), client.put('twice').value('2')) // etcd refuses it
            .commit()
            .catch(() => undefined);
      },
    });
    await alice.campaign();
    await eventually(() => log.of('guard.tripped').length > 0, { withinMs: SOON_MS });
    await within(SOON_MS, 'stepDown', alice.election.stepDown());
  });

  test('S5: the work and onFollower together take no longer than drainTimeoutMs', async ({
    candidate,
    log,
  }) => {
    const drainTimeoutMs = 400;
    const alice = candidate('alice', {
      drainTimeoutMs,
      onLeader: async (term) => {
        await abortOf(term.signal);
        await sleep(drainTimeoutMs / 2);
      },
      onFollower: () => new Promise(() => undefined),
    });
    const bob = candidate('bob');
    await alice.campaign();
    void bob.campaign();
    await bob.queued();
    await within(drainTimeoutMs + SOON_MS, 'resign()', alice.election.resign());
    await bob.elected();
    expect(log.of('drain.overdue')).toMatchObject([{ callbacks: ['onFollower'] }]);
    const [released] = log.of('term.released');
    expect(released!['afterMs']).toBeLessThan(2 * drainTimeoutMs);
  });
});

describe('what onLeader returns', () => {
  test('a function, or a promise of one, is called at the end and awaited', async ({ candidate, world }) => {
    const order: string[] = [];
    const cleanUp = async (): Promise<void> => {
      await world.own.get('x');
      order.push('cleaned up');
    };
    for (const onLeader of [() => cleanUp, () => Promise.resolve(cleanUp)]) {
      const alice = candidate('alice', { election: `e${order.length}`, onLeader: undefined });
      // The candidate of these tests records its callbacks, and returns nothing.
      const one = world.election(world.client(), `f${order.length}`, { onLeader });
      await alice.campaign();
      await one.campaign();
      await one.resign();
      order.push('resigned');
    }
    expect(order).toEqual(['cleaned up', 'resigned', 'cleaned up', 'resigned']);
  });

  test('an interval is cleared, and anything that can be disposed of is', async ({ client, election }) => {
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

  test('lead() hands it on, and does not call it', async ({ client, election }) => {
    let calls = 0;
    const fn = await election(client(), 'e').lead(async () => () => ++calls);
    expect(calls).toBe(0);
    expect(fn()).toBe(1);
  });
});

describe('term.onEnd()', () => {
  test('clean-ups run one after another, the last first, and a failing one stops none', async ({
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
  test('S5: registered work is awaited, though onLeader has returned', async ({ candidate }) => {
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

  test('one of two loops fails: one term ends, and no second generation begins beside the first', async ({
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

  test('after the end a function is not called, and a promise that is never awaited harms nobody', async ({
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
  test('calls at once and at its interval, never beside itself, and not after the term', async ({
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

  test('refuses what is no interval, and what is no job', async ({ candidate }) => {
    const term = await candidate('alice').campaign();
    for (const ms of [0, -1, NaN, Infinity, 2 ** 31, '5'])
      expect(() => term.every(ms as number, () => 0)).toThrow(InvalidInputError);
    expect(() => term.every(5, undefined as never)).toThrow(InvalidInputError);
  });
});

describe('an orderly end is no failure', () => {
  test('an aborted sleep, fetch or child, and the term`s own error as a cause', async ({
    candidate,
    log,
  }) => {
    const alice = candidate('alice', {
      onLeader: (term) => {
        void term.run(async () => await sleep(60_000, undefined, { signal: term.signal }));
        void term.run(async () => {
          await abortOf(term.signal);
          throw new Error('stopped', { cause: term.signal.reason });
        });
        void term.run(async () => {
          await abortOf(term.signal);
          throw new DOMException('aborted', 'AbortError');
        });
        term.every(60_000, () => sleep(60_000, undefined, { signal: term.signal }));
        return once(
          spawn(process.execPath, ['-e', 'setInterval(() => 0, 1000)'], { signal: term.signal }),
          'exit',
        );
      },
    });
    await alice.campaign();
    await alice.election.resign();
    expect(log.of('callback.failed')).toEqual([]);
  });

  test('any other error is', async ({ candidate, log }) => {
    const alice = candidate('alice', {
      onLeader: async (term) => {
        await abortOf(term.signal);
        throw new Error('cannot flush');
      },
    });
    await alice.campaign();
    await alice.election.resign();
    expect(log.of('callback.failed')).toHaveLength(1);
  });
});

describe('S5: a clean-up that never settles', () => {
  test('keeps no other from being called, in reverse order, before the drain is over', async ({
    candidate,
    log,
  }) => {
    const called: string[] = [];
    const never = new Promise<never>(() => undefined);
    const alice = candidate('alice', {
      drainTimeoutMs: 1_000,
      onLeader: (term) => {
        term.onEnd(() => void called.push('first'));
        term.onEnd(() => never);
        term.onEnd(() => void called.push('third'));
        term.onEnd(() => never);
        term.onEnd(() => void called.push('fifth'));
      },
    });
    await alice.campaign();
    let before: string[] = [];
    const told = eventually(() => log.of('drain.overdue').length === 1, { withinMs: SOON_MS }).then(
      () => (before = [...called]),
    );
    await alice.election.close();
    await told;
    expect(before).toEqual(['fifth', 'third', 'first']);
    expect(log.of('drain.overdue')[0]).toMatchObject({ callbacks: ['onEnd'] });
  });

  test('without time to drain, all are called at once', async ({ candidate }) => {
    const called: number[] = [];
    const alice = candidate('alice', {
      drainTimeoutMs: 0,
      onLeader: (term) => {
        for (const each of [1, 2, 3])
          term.onEnd(() => {
            called.push(each);
            return new Promise(() => undefined);
          });
      },
    });
    await alice.campaign();
    await alice.election.close();
    expect(called).toEqual([3, 2, 1]);
  });

  test('each is awaited before the next, as long as there is time', async ({ candidate }) => {
    const called: string[] = [];
    const step = (name: string) => async (): Promise<void> => {
      called.push(`${name} begins`);
      await sleep(20);
      called.push(`${name} ends`);
    };
    const alice = candidate('alice', {
      onLeader: (term) => {
        term.onEnd(step('first'));
        term.onEnd(step('second'));
      },
    });
    await alice.campaign();
    await alice.election.close();
    expect(called).toEqual(['second begins', 'second ends', 'first begins', 'first ends']);
  });
});

describe('work that has ended while the term goes on', () => {
  test('is not told of callbacks that start and stop: the term has its work', async ({
    client,
    election,
    log,
  }) => {
    const one = election(client(), 'e', { onLeader: () => sleep(5), onFollower: () => undefined });
    await one.campaign();
    await one.leader(); // a round trip
    await sleep(10);
    expect(one.health()).toMatchObject({ healthy: true, working: true });
    expect(log.of('work.ended')).toEqual([]);
  });

  test('is told where a flag keeps the second term from its work', async ({ client, election, log }) => {
    let isRunning = false;
    const one = election(client(), 'e', {
      onLeader: async (term) => {
        if (isRunning) return;
        isRunning = true; // nothing puts it back
        await abortOf(term.signal);
      },
      onFollower: () => undefined,
    });
    await one.campaign();
    await one.stepDown();
    await eventually(() => log.of('work.ended').length === 1, { withinMs: SOON_MS });
    expect(one.health().working).toBe(false);
    expect(log.of('work.ended')[0]!.msg).toContain('term.run()');
  });

  test('is told, and leads on', async ({ client, election, log }) => {
    const alice = election(client(), 'e', { onLeader: () => sleep(5) });
    const term = await alice.campaign();
    await eventually(() => log.of('work.ended').length === 1, { withinMs: SOON_MS });
    expect(term.isCurrent()).toBe(true);
  });

  test('steps down with whenWorkEnds', async ({ candidate, log }) => {
    const alice = candidate('alice', { onLeader: () => sleep(5), whenWorkEnds: 'step-down' });
    const bob = candidate('bob');
    await alice.campaign();
    void bob.campaign();
    await bob.elected();
    expect(log.of('term.ended')[0]).toMatchObject({ reason: 'work-ended' });
  });

  test('but names the deadline as the cause if that has passed', async ({ candidate, log }) => {
    const block = (): void =>
      void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, TTL_SECONDS * 1000);
    const alice = candidate('alice', { onLeader: block, whenWorkEnds: 'step-down' });
    await alice.campaign();
    await eventually(() => log.of('term.ended').length > 0, { withinMs: SOON_MS });
    expect(log.of('term.ended')[0]).toMatchObject({ reason: 'deadline-passed' });
    await alice.election.close();
  });

  test('but not while something is registered, or to be cleaned up', async ({ candidate, log }) => {
    const options = { whenWorkEnds: 'step-down' } as const;
    const alice = candidate('alice', {
      ...options,
      onLeader: (term) => term.onEnd(() => undefined),
    });
    const bob = candidate('bob', {
      ...options,
      election: 'other',
      onLeader: (term) => void term.run(abortOf(term.signal)),
    });
    const terms = [await alice.campaign(), await bob.campaign()];
    await alice.election.leader(); // a round trip
    expect(terms.map((term) => term.isCurrent())).toEqual([true, true]);
    expect(log.of('work.ended')).toEqual([]);
  });
});

describe('onLeaderChange', () => {
  test('hears of every change, ours included, and is not awaited', async ({ client, election }) => {
    const heard: (string | undefined)[] = [];
    const onLeaderChange = (leader: Leader | undefined): Promise<never> => {
      heard.push(leader?.value);
      return new Promise(() => undefined);
    };
    const [a, b] = [election(client(), 'e', { onLeaderChange }), election(client(), 'e')];
    await a.campaign('a');
    void b.campaign('b');
    await eventually(async () => (await a.candidates()).length === 2, { withinMs: SOON_MS });
    await a.stepDown();
    await eventually(() => heard.at(-1) === 'b', { withinMs: SOON_MS });
    await within(SOON_MS, 'b.close()', b.close());
    await eventually(() => heard.at(-1) === 'a', { withinMs: SOON_MS });
    await within(SOON_MS, 'a.close()', a.close());
    expect(heard.filter((value) => value !== undefined)).toEqual(['a', 'b', 'a']);
  });

  test('that throws is a line in the log, no more', async ({ client, election, log }) => {
    const one = election(client(), 'e', {
      onLeaderChange: () => {
        throw new Error('broken');
      },
    });
    await one.campaign();
    await eventually(() => log.of('callback.failed').length > 0, { withinMs: SOON_MS });
    expect(one.status.state).toBe('leading');
  });
});

test('S3: a subscriber that closes in term.started prevents onLeader', async ({ candidate, history }) => {
  const { subscribe, unsubscribe } = await import('node:diagnostics_channel');
  const alice = candidate('alice');
  const close = (): void => void alice.election.close();
  subscribe('etcd-election:term.started', close);
  const campaign = alice.campaign();
  await expect(campaign).rejects.toMatchObject({ code: 'ELECTION_CLOSED' });
  unsubscribe('etcd-election:term.started', close);
  expect(history.callbacks('alice')).toEqual([]);
});

test('a subscriber that steps down in term.started ends that term', async ({ candidate, log }) => {
  const { subscribe, unsubscribe } = await import('node:diagnostics_channel');
  const alice = candidate('alice');
  let asked = 0;
  const stepDown = (): void => {
    if (asked++ === 0) void alice.election.stepDown();
  };
  subscribe('etcd-election:term.started', stepDown);
  await alice.campaign();
  unsubscribe('etcd-election:term.started', stepDown);
  await eventually(() => log.of('term.started').length === 2, { withinMs: SOON_MS });
  expect(log.of('term.ended')).toMatchObject([{ reason: 'stepped-down' }]);
});
