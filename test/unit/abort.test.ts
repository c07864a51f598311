import { getEventListeners } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { Etcd3 } from 'etcd3';
import { Election } from 'etcd-election';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test, vi } from 'vitest';
import { onAbort, onAbortWeakly, untilAny } from '../../src/util/abort.ts';
import { defaultGuardSettings, LoopGuard } from '../../src/loop-guard/loop-guard.ts';
import { eventually } from '../support/eventually.ts';
import { FakeClock } from '../support/fake-clock.ts';

test('a wait ends with the first of its signals, and leaves no listener behind', async () => {
  const [one, other] = [new AbortController(), new AbortController()];
  const waits = Array.from({ length: 100 }, () =>
    untilAny(
      [one.signal, other.signal],
      (signal) => new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve())),
    ),
  );
  expect(getEventListeners(one.signal, 'abort')).toHaveLength(1);
  other.abort();
  await Promise.all(waits);
  expect(getEventListeners(one.signal, 'abort')).toEqual([]);
  await untilAny([one.signal, other.signal], async (signal) => expect(signal.aborted).toBe(true));
});

test('removing a listener twice leaves later listeners in place', () => {
  const { signal } = new AbortController();
  const off = onAbort(signal, () => undefined);
  off();
  onAbort(signal, () => undefined);
  off();
  onAbort(signal, () => undefined);
  expect(getEventListeners(signal, 'abort')).toHaveLength(1);
});

test('G5: a hold does not use AbortSignal.any, which leaks on Node 20', async () => {
  const joins = vi.spyOn(AbortSignal, 'any');
  const clock = new FakeClock();
  const guard = new LoopGuard('k', 'e', clock);
  const { signal } = new AbortController();
  const passing = Array.from({ length: 100 }, () =>
    guard.pass('environment', defaultGuardSettings, { signal }),
  );
  expect(getEventListeners(signal, 'abort')).toHaveLength(1);
  await clock.advance(10_000);
  await Promise.all(passing);
  expect(guard.report().holds).toBeGreaterThan(50);
  expect(joins).not.toHaveBeenCalled();
  expect(getEventListeners(signal, 'abort')).toEqual([]);
  joins.mockRestore();
});

test('G5: nothing with the lifetime of a service uses AbortSignal.any', () => {
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.startsWith('cli/')) // a command ends soon
    .filter((name) => readFileSync(`src/${name}`, 'utf8').includes('AbortSignal.any('));
  expect(files).toEqual([]);
});

describe('a signal that lives longer than the objects made with it', () => {
  /** V8 promises no time. A collection of a large heap takes long on a busy machine. */
  const COLLECTED = { withinMs: 20_000 };
  /** Collects garbage, as a busy process does sooner or later. */
  const collectGarbage = (): void => {
    setFlagsFromString('--expose-gc');
    (runInNewContext('gc') as () => void)();
  };

  test('G5: does not keep a dropped object or its listener', async () => {
    const { signal } = new AbortController();
    const dropped = Array.from({ length: 100 }, () => {
      const object = {};
      onAbortWeakly(signal, object, () => undefined);
      return new WeakRef(object);
    });
    await eventually(() => {
      collectGarbage();
      expect(dropped.filter((each) => each.deref() !== undefined)).toEqual([]);
      expect(getEventListeners(signal, 'abort')).toEqual([]);
    }, COLLECTED);
  });

  test('G5: does not keep an Election that was made with it and is not used', async () => {
    const { signal } = new AbortController();
    const client = new Etcd3();
    for (let i = 0; i < 50; i++) void new Election(client, 'dropped', { signal });
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    await eventually(() => {
      collectGarbage();
      expect(getEventListeners(signal, 'abort')).toEqual([]);
    }, COLLECTED);
    client.close();
  });

  test('notifies an object that is held, and never one that was released', () => {
    const controller = new AbortController();
    const [held, letGo] = [{ heard: 0 }, { heard: 0 }];
    onAbortWeakly(controller.signal, held, (object) => void object.heard++);
    onAbortWeakly(controller.signal, letGo, (object) => void object.heard++)();
    controller.abort();
    expect([held, letGo]).toEqual([{ heard: 1 }, { heard: 0 }]);
  });
});
