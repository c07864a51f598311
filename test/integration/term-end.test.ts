import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect } from 'vitest';
import { eventually, within } from '../support/eventually.ts';
import { abortOf, SOON_MS, test, TTL_SECONDS } from '../support/world.ts';

/** How long the consumers of these tests take to stop, in milliseconds. */
const STOPPING_MS = 400;

describe('a consumer that one callback starts and the other stops', () => {
  /** `stop()` first finishes the present message. */
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
    test(`S5: ${end}() deletes the key and resolves after onFollower has stopped it`, async ({
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

  test('S5: onFollower stops it after a lost key, before we enter again', async ({ candidate, world }) => {
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

  test('S5: a failed write that the guard holds does not delay the end', async ({ candidate, log }) => {
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

  test('S5: the work and onFollower together take at most drainTimeoutMs', async ({ candidate, log }) => {
    const drainTimeoutMs = 2_000; // so long that the limit below allows a stall of the machine
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

describe('an orderly end is not a failure', () => {
  test("an aborted sleep, fetch or child, and the term's own error as a cause", async ({
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

  test('any other error is a failure', async ({ candidate, log }) => {
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
  test('does not prevent the calls of the others, in reverse order, before the drain ends', async ({
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

  test('without drain time all are called at once', async ({ candidate }) => {
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

  test('each is awaited before the next while time remains', async ({ candidate }) => {
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

describe('work that ends while the term continues', () => {
  test('is not reported if callbacks start and stop the work', async ({ client, election, log }) => {
    const one = election(client(), 'e', { onLeader: () => sleep(5), onFollower: () => undefined });
    await one.campaign();
    await one.leader(); // a round trip
    await sleep(10);
    expect(one.health()).toMatchObject({ healthy: true, working: true });
    expect(log.of('work.ended')).toEqual([]);
  });

  test('is reported if a flag prevents the work of the second term', async ({ client, election, log }) => {
    let isRunning = false;
    const one = election(client(), 'e', {
      onLeader: async (term) => {
        if (isRunning) return;
        isRunning = true; // no code resets it
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

  test('is reported, and the term continues', async ({ client, election, log }) => {
    const alice = election(client(), 'e', { onLeader: () => sleep(5) });
    const term = await alice.campaign();
    await eventually(() => log.of('work.ended').length === 1, { withinMs: SOON_MS });
    expect(term.isCurrent()).toBe(true);
    for (let job = 0; job < 3; job++) await term.run(() => Promise.resolve());
    await alice.leader(); // a round trip
    expect(log.of('work.ended')).toHaveLength(1); // or each job would take a line from the quota of the errors
  });

  test('steps down with whenWorkEnds', async ({ candidate, log }) => {
    const alice = candidate('alice', { onLeader: () => sleep(5), whenWorkEnds: 'step-down' });
    const bob = candidate('bob');
    await alice.campaign();
    void bob.campaign();
    await bob.elected();
    expect(log.of('term.ended')[0]).toMatchObject({ reason: 'work-ended' });
  });

  test('ends with the deadline as the cause if that has passed', async ({ candidate, log }) => {
    const block = (): void =>
      void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, TTL_SECONDS * 1000);
    const alice = candidate('alice', { onLeader: block, whenWorkEnds: 'step-down' });
    await alice.campaign();
    await eventually(() => log.of('term.ended').length > 0, { withinMs: SOON_MS });
    expect(log.of('term.ended')[0]).toMatchObject({ reason: 'deadline-passed' });
    await alice.election.close();
  });

  test('does not end the term while a registration or clean-up remains', async ({ candidate, log }) => {
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
