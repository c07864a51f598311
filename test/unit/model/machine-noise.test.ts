import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { nowMs } from '../../faults/lab/history.ts';
import { MachineNoise } from '../../faults/lab/machine-noise.ts';

test('a stall counts in a period that it overlaps, also before the timer has seen its end', async () => {
  const noise = new MachineNoise();
  await sleep(50);
  const fromMs = nowMs();
  while (nowMs() < fromMs + 300);
  const stall = { fromMs, toMs: nowMs() };
  expect(noise.within(stall)).toBeGreaterThan(250);
  await sleep(50);
  expect(noise.within(stall)).toBeGreaterThan(250);
  expect(noise.within(stall)).toBeLessThanOrEqual(stall.toMs - stall.fromMs);
  expect(noise.within({ fromMs: fromMs - 20_000, toMs: fromMs - 10_000 })).toBe(0);
  noise.stop();
});
