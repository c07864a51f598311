import { afterEach, expect, test, vi } from 'vitest';
import { freePort } from '../../src/dev/ports.ts';

// Two members of one cluster got the same port in about one of a hundred starts. etcd then said "has duplicate url".

afterEach(() => {
  vi.restoreAllMocks();
});

test('no port is given twice in a row, although nobody listens on it yet', async () => {
  vi.spyOn(Math, 'random').mockReturnValueOnce(0.5).mockReturnValueOnce(0.5);
  const first = await freePort();
  const second = await freePort();
  expect(second).not.toBe(first);
});

test('two searches at once find two ports', async () => {
  vi.spyOn(Math, 'random').mockReturnValueOnce(0.25).mockReturnValueOnce(0.25);
  const [first, second] = await Promise.all([freePort(), freePort()]);
  expect(second).not.toBe(first);
});
