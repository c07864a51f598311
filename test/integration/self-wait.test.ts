import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Election, type Term } from 'etcd-election';
import { describe, expect } from 'vitest';
import { Deferred } from '../../src/util/deferred.ts';
import { eventually, within } from '../support/eventually.ts';
import { abortOf, SOON_MS, test } from '../support/world.ts';
import { candidate } from '../support/patient-candidate.ts';

describe('work that awaits the end of its own term', () => {
  const ends = ['resign', 'stepDown', 'close'] as const;

  for (const end of ends)
    test(`S5: ${end}() as its last statement hands over at once`, async ({ world }) => {
      const go = new Deferred<void>();
      const alice = candidate(world, {
        onLeader: async () => {
          await go.promise;
          await alice[end]();
        },
      });
      const bob = world.candidate('bob');
      const term = await alice.campaign('alice');
      void bob.campaign();
      await bob.queued();
      const ended = within(SOON_MS, 'the end', abortOf(term.signal));
      go.resolve();
      await ended;
      await bob.elected(SOON_MS);
    });

  const ways: Record<string, (alice: Election) => Promise<unknown>> = {
    'from a helper': async (alice) => {
      const helper = async (): Promise<void> => {
        await sleep(1);
        await alice.resign();
      };
      await helper();
    },
    'returned, not awaited': (alice) => alice.resign(),
    'in a .then() chain': (alice) =>
      Promise.resolve()
        .then(() => alice.resign())
        .then(() => 'over'),
    'started first and awaited later': async (alice) => {
      const resigning = alice.resign();
      await sleep(20);
      await resigning;
    },
    'with its own time limit': async (alice) => {
      await Promise.race([alice.resign(), sleep(30_000, undefined, { ref: false })]);
    },
    'beside other things': async (alice) => {
      await Promise.all([alice.resign(), sleep(5)]);
    },
    'from a generator': async (alice) => {
      async function* messages(): AsyncGenerator<number> {
        yield 1;
        await alice.resign();
      }
      for await (const each of messages()) expect(each).toBe(1);
    },
    'in a finally': async (alice) => {
      try {
        await sleep(1);
      } finally {
        await alice.resign();
      }
    },
  };
  for (const [how, way] of Object.entries(ways))
    test(`S5: ${how}`, async ({ world }) => {
      const alice: Election = candidate(world, { onLeader: () => way(alice) });
      await alice.campaign();
      await eventually(() => alice.status.state === 'idle', { withinMs: SOON_MS });
      expect(await world.keys()).toEqual([]);
    });

  test('S5: what the work stops after resign() is awaited before the key is deleted', async ({ world }) => {
    let keysThen: string[] = [];
    const alice = candidate(world, {
      onLeader: async () => {
        await alice.resign();
        await sleep(100);
        keysThen = await world.keys();
      },
    });
    const { key } = await alice.campaign();
    await eventually(() => alice.status.state === 'idle', { withinMs: SOON_MS });
    expect(keysThen).toEqual([key]);
    expect(await world.keys()).toEqual([]);
  });

  test('S5: the key is deleted when its close() resolves', async ({ world }) => {
    const keysThen = new Deferred<string[]>();
    const alice = candidate(world, {
      onLeader: async () => {
        await alice.close();
        keysThen.resolve(await world.keys());
      },
    });
    await alice.campaign();
    expect(await within(SOON_MS, 'close()', keysThen.promise)).toEqual([]);
  });

  test('S5: its close() waits for registrations with the term', async ({ world }) => {
    const order: string[] = [];
    const alice = candidate(world, {
      onLeader: async (term) => {
        void term.run(async () => {
          await abortOf(term.signal);
          await sleep(50);
          order.push('registered work is over');
        });
        await alice.close();
        order.push('closed');
      },
      onFollower: () => void order.push('onFollower'),
    });
    await alice.campaign();
    await eventually(() => order.includes('closed'), { withinMs: SOON_MS });
    expect(order).toEqual(['registered work is over', 'onFollower', 'closed']);
  });

  for (const register of ['run', 'onEnd', 'every'] as const)
    test(`S5: it may be registered with term.${register}()`, async ({ world }) => {
      const keysThen = new Deferred<string[]>();
      const close = async (): Promise<void> => {
        await alice.close();
        keysThen.resolve(await world.keys());
      };
      const alice: Election = candidate(world, {
        onLeader: (term: Term) => {
          if (register === 'run') void term.run(close);
          else if (register === 'every') term.every(1_000, close);
          else {
            term.onEnd(close);
            term.resign();
          }
        },
      });
      await alice.campaign().catch(() => undefined); // the term may end before the call returns
      expect(await within(SOON_MS, 'close()', keysThen.promise)).toEqual([]);
    });

  for (const end of ends)
    test(`S5: ${end}() works from onFollower`, async ({ world }) => {
      let calls = 0;
      const alice = candidate(world, {
        onFollower: async () => {
          if (calls++ === 0) await alice[end]();
        },
      });
      await alice.campaign();
      await within(SOON_MS, 'resign()', alice.resign());
      expect(await world.keys()).toEqual([]);
      expect(calls).toBe(1);
    });

  test('term.resign() and term.stepDown() never wait', async ({ world }) => {
    let terms = 0;
    const alice = candidate(world, {
      onLeader: async (term) => {
        if (++terms === 1) term.stepDown();
        else term.resign();
        expect(term.signal.aborted).toBe(true);
      },
    });
    await alice.campaign();
    await eventually(() => terms === 2 && alice.status.state === 'idle', { withinMs: SOON_MS });
    expect(await world.keys()).toEqual([]);
  });
});

describe('a handler that the work registered', () => {
  const STOPPING_MS = 150;
  const emitter = new EventEmitter();
  const handlers: Record<string, (handle: () => void) => void> = {
    timer: (handle) => void setTimeout(handle, 5),
    interval: (handle) => {
      const timer = setInterval(() => {
        clearInterval(timer);
        handle();
      }, 5);
    },
    emitter: (handle) => {
      emitter.once('stop', handle);
      setTimeout(() => emitter.emit('stop'), 5);
    },
    signal: (handle) => {
      process.once('SIGUSR2', handle);
      process.kill(process.pid, 'SIGUSR2');
    },
    immediate: (handle) => void setImmediate(handle),
    'promise that nobody awaits': (handle) => void sleep(5).then(handle),
  };
  for (const [kind, register] of Object.entries(handlers))
    for (const end of ['close', 'resign'] as const)
      test(`S5: ${kind}: when its ${end}() resolves, the work has ended and the key is deleted`, async ({
        world,
      }) => {
        let isOver = false;
        const seen = new Deferred<{ isOver: boolean; keys: string[] }>();
        const handle = async (): Promise<void> => {
          await sleep(2); // a wait before the call
          await alice[end]();
          seen.resolve({ isOver, keys: await world.keys() });
        };
        const alice: Election = candidate(world, {
          onLeader: async (term) => {
            register(() => void handle());
            await abortOf(term.signal);
            await sleep(STOPPING_MS);
            isOver = true;
          },
        });
        await alice.campaign();
        expect(await within(SOON_MS, end, seen.promise)).toEqual({ isOver: true, keys: [] });
      });

  test('S5: waits at most drainTimeoutMs and two calls if the work ignores its signal', async ({ world }) => {
    const closed = new Deferred<void>();
    const alice: Election = candidate(world, {
      drainTimeoutMs: 200,
      onLeader: () => {
        setTimeout(() => void alice.close().then(() => closed.resolve()), 5);
        return new Promise(() => undefined);
      },
    });
    await alice.campaign();
    await within(200 + SOON_MS, 'close()', closed.promise);
    expect(await world.keys()).toEqual([]);
  });
});
