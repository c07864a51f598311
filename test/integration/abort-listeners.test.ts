import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect } from 'vitest';
import { within } from '../support/eventually.ts';
import { SOON_MS, test } from '../support/world.ts';
import { listener } from '../support/async-listener.ts';

/** How long the clean-ups of these tests take, in milliseconds. */
const CLEANING_MS = 300;

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
    test(`S5: is awaited before the key is deleted: ${way}`, async ({ candidate }) => {
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

  test('is not called after its removal, and is called once if it was added twice', async ({ candidate }) => {
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

  test('may await close(), and may fail: neither delays or ends the process', async ({ candidate, log }) => {
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

  test('spawn() with term.signal and without an error listener ends the child, not the process', async ({
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
