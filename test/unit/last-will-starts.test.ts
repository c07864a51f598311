import { EventEmitter } from 'node:events';
import type { Etcd3 } from 'etcd3';
import { afterEach, expect, test, vi } from 'vitest';

let started = 0;
vi.mock('node:child_process', () => ({
  spawn: () => {
    started++;
    const noop = (): void => undefined;
    const helper: EventEmitter = Object.assign(new EventEmitter(), {
      stdin: Object.assign(new EventEmitter(), {
        write: () => true,
        end: () => queueMicrotask(() => helper.emit('exit', 0, null)),
        unref: noop,
      }),
      unref: noop,
      kill: () => true,
    });
    return helper;
  },
}));
const { LastWill } = await import('../../src/last-will/index.ts');

afterEach(() => vi.useRealTimers());

test.for([10_000, 30_000])('leases that come and go every %i ms all have a last will', async (everyMs) => {
  started = 0;
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate', 'performance', 'Date'],
  });
  const will = new LastWill({ options: { hosts: '127.0.0.1:1' } } as unknown as Etcd3);
  for (let lease = 1; lease <= 20; lease++) {
    will.hold(String(lease), undefined, () => undefined);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(started).toBe(lease);
    will.drop(String(lease)); // it was revoked, as intended
    await vi.advanceTimersByTimeAsync(everyMs - 5_000);
  }
});
