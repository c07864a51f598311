import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { MessagePort } from 'node:worker_threads';
import { MainLink } from '../../../src/diagnostics/watchdog/main-link.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const port = { postMessage: () => undefined, close: () => undefined } as unknown as MessagePort;

test('a wait for the main thread ends at its limit, or when the link closes', async () => {
  const link = new MainLink(port);
  const late = link.isTurning(1_000);
  vi.advanceTimersByTime(1_000);
  expect(await late).toBe(false);

  const waits = [link.isTurning(600_000), link.request('metrics', 1, 2_000)];
  link.close();
  expect(vi.getTimerCount()).toBe(0);
  expect(await Promise.all(waits)).toEqual([false, undefined]);
});
