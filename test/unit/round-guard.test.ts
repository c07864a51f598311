import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { CampaignTools } from '../../src/campaign/campaign-tools.ts';
import { RoundGuard } from '../../src/campaign/round-guard.ts';
import {
  defaultGuardSettings as settings,
  LoopGuard,
  type GuardListener,
} from '../../src/loop-guard/loop-guard.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A campaign whose guard has tripped. */
async function tripped() {
  const heard = {
    tripped: vi.fn<GuardListener['tripped']>(),
    recovered: vi.fn<GuardListener['recovered']>(),
  };
  const guard = new LoopGuard('k', 'e');
  const tools = {
    guard,
    settings: { guard: settings },
    report: { guard: heard },
  } as unknown as CampaignTools;
  const rounds = new RoundGuard(tools, []);
  for (let round = 0; round <= settings.burst; round++) {
    const passed = rounds.pass('caller', new AbortController().signal);
    await vi.advanceTimersByTimeAsync(settings.baseMs * 3);
    await passed;
  }
  expect(heard.tripped).toHaveBeenCalledOnce();
  return { rounds, guard, heard };
}

test('G6: the guard does not recover while renewals fail, but as soon as they succeed again', async () => {
  const { rounds, guard, heard } = await tripped();
  const session = { isSteady: true };
  rounds.entered(session);
  await vi.advanceTimersByTimeAsync(settings.healthyAfterMs - 1_000);
  session.isSteady = false;
  await vi.advanceTimersByTimeAsync(10_000);
  expect(heard.recovered).not.toHaveBeenCalled();
  expect(guard.status(settings).state).toBe('tripped');
  session.isSteady = true;
  await vi.advanceTimersByTimeAsync(1_000);
  expect(heard.recovered).toHaveBeenCalledOnce();
  expect(guard.status(settings)).toMatchObject({ state: 'open', streak: 0 });
  expect(vi.getTimerCount()).toBe(0);
});

test('G6: a term that ends while renewals fail leaves no timer, and its next rounds tell of no recovery', async () => {
  const { rounds, guard, heard } = await tripped();
  rounds.entered({ isSteady: false });
  await vi.advanceTimersByTimeAsync(settings.healthyAfterMs + 5_000);
  rounds.stop();
  expect(vi.getTimerCount()).toBe(0);
  const again = rounds.pass('environment', new AbortController().signal);
  await vi.advanceTimersByTimeAsync(settings.outsideCapMs);
  await again;
  expect(guard.status(settings).state).toBe('tripped'); // it still delays
  expect(heard.recovered).not.toHaveBeenCalled();
  rounds.entered({ isSteady: true });
  await vi.advanceTimersByTimeAsync(settings.healthyAfterMs + 1);
  expect(heard.recovered).toHaveBeenCalledOnce();
});
