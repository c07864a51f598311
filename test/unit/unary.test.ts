import { afterEach, expect, test, vi } from 'vitest';
import { askOnce } from '../../src/etcd/unary.ts';

afterEach(() => void vi.useRealTimers());

test('a wrapped method that throws leaves no timer behind, and accuses no host', async () => {
  vi.useFakeTimers();
  const accused: string[] = [];
  const call = askOnce({
    what: 'read',
    client: {} as never,
    token: undefined,
    withinMs: 2_500,
    signal: undefined,
    invoke: () => {
      throw new Error('a wrapped method threw');
    },
    patienceMs: () => 0,
    onSilent: () => void accused.push('silent'),
    onTimeout: () => void accused.push('timeout'),
    whySilent: () => '',
    onMessage: () => undefined,
    onFailure: () => undefined,
    telling: (said) => said,
  });
  await expect(call).rejects.toThrow('a wrapped method threw');
  expect(vi.getTimerCount()).toBe(0);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(accused).toEqual([]);
});
