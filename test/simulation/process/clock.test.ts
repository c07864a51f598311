import { expect, test } from 'vitest';
import { ProcessClock } from './clock.ts';

test('the clocks of one machine run at one rate, even ahead of the world while the process is blocked', () => {
  let nowMs = 1_000;
  const clock = new ProcessClock(() => nowMs, { rate: 0.96, bootMs: 5_000 });
  const bootAhead = (atMs: number): number => clock.bootMs(atMs) - clock.monotonicMs(atMs);
  const wallAhead = (atMs: number): number => clock.wallMs(atMs) - clock.monotonicMs(atMs);
  const [boot, wall] = [bootAhead(nowMs), wallAhead(nowMs)];
  expect(bootAhead(nowMs + 10_000)).toBeCloseTo(boot);
  expect(wallAhead(nowMs + 10_000)).toBeCloseTo(wall);

  clock.suspend();
  nowMs += 1_000;
  clock.wake();
  expect(bootAhead(nowMs)).toBeCloseTo(boot + 960);
});
