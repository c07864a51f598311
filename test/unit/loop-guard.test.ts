import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  admit,
  fresh,
  isTripped,
  progress,
  type Delays,
  type DelaySource,
  type GuardHistory,
  type GuardLimits,
} from '../../src/core/guard-rules.ts';

/** A sequence of delays; the last one repeats for ever. */
const sequence = (delays: readonly number[]): Delays => ({
  duration: delays[0]!,
  next: () => sequence(delays.length > 1 ? delays.slice(1) : delays),
});
const source = (own: readonly number[], outside: readonly number[] = own): DelaySource => ({
  caller: () => sequence(own),
  environment: () => sequence(outside),
});

const anyLimits: fc.Arbitrary<GuardLimits> = fc.record({
  burst: fc.integer({ min: 1, max: 20 }),
  healthyAfterMs: fc.integer({ min: 5_000, max: 60_000 }),
});
const BASE_MS = 100;
const someDelays = fc.array(fc.integer({ min: BASE_MS, max: 30_000 }), { minLength: 1, maxLength: 20 });

/** What happens between two rounds of a loop that awaits each round. */
const anyRound = fc.record({
  origin: fc.constantFrom('caller' as const, 'environment' as const),
  /** The duration of the round itself: usually zero, as in the incident. */
  tookMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 3_000 }), fc.integer({ min: 0, max: 200_000 })),
  /** Whether it ended in a term or an orderly wait of all that time, rather than in a failure. */
  succeeded: fc.boolean(),
});
type Round = typeof anyRound extends fc.Arbitrary<infer R> ? R : never;
const anyRounds = fc.array(anyRound, { maxLength: 200 });

interface Run {
  readonly releasedAtMs: number[];
  readonly holdsMs: number[];
  readonly histories: GuardHistory[];
}

/** A loop that awaits each of its rounds. */
function run(rounds: readonly Round[], limits: GuardLimits, delays: DelaySource): Run {
  let history = fresh;
  let nowMs = 0;
  const result: Run = { releasedAtMs: [], holdsMs: [], histories: [] };
  for (const { origin, tookMs, succeeded } of rounds) {
    const verdict = admit(history, origin, limits, delays, nowMs);
    history = verdict.history;
    nowMs += verdict.holdMs;
    result.releasedAtMs.push(nowMs);
    result.holdsMs.push(verdict.holdMs);
    result.histories.push(history);
    nowMs += tookMs;
    if (succeeded) history = progress(history, tookMs, limits);
  }
  return result;
}

describe('the rules of the loop guard', () => {
  test('G1: allow in any period at most the burst and what the delays permit', () => {
    fc.assert(
      fc.property(anyRounds, anyLimits, someDelays, someDelays, (rounds, limits, own, outside) => {
        const { releasedAtMs } = run(rounds, limits, source(own, outside));
        for (let from = 0; from < releasedAtMs.length; from++)
          for (let to = from; to < releasedAtMs.length; to++) {
            const spanMs = releasedAtMs[to]! - releasedAtMs[from]!;
            // Success restores the burst: once for each time it was earned.
            const bursts = 1 + Math.floor(spanMs / limits.healthyAfterMs);
            expect(to - from + 1).toBeLessThanOrEqual(
              limits.burst * bursts + Math.floor(spanMs / BASE_MS) + 1,
            );
          }
      }),
    );
  });

  test('G1: delay a loop that never fails as much as a loop that always fails', () => {
    const limits: GuardLimits = { burst: 5, healthyAfterMs: 30_000 };
    const delays = source([250]);
    const hot = (succeeded: boolean): number[] =>
      run(Array(100).fill({ origin: 'caller', tookMs: 0, succeeded }), limits, delays).releasedAtMs;
    expect(hot(true)).toEqual(hot(false));
    expect(hot(true).at(-1)).toBe(95 * 250);
  });

  test('G1: give no delay that is NaN, infinite, negative or zero, for any sequence', () => {
    const hostile = fc.constantFrom(Number.NaN, Infinity, -Infinity, -1, 0, 0.001, 1e300, 250);
    fc.assert(
      fc.property(
        anyRounds,
        anyLimits,
        fc.array(hostile, { minLength: 1, maxLength: 20 }),
        (rounds, limits, delays) => {
          const { holdsMs, histories } = run(rounds, limits, source(delays));
          holdsMs.forEach((holdMs, round) => {
            expect(holdMs).toBeGreaterThanOrEqual(0);
            expect(holdMs).toBeLessThanOrEqual(2 * 3_600_000);
            const { origin, tookMs } = rounds[round - 1] ?? { origin: 'caller', tookMs: 0 };
            // The caller's own loop, after the burst, without time spent in the round: then it must wait.
            if (rounds[round]!.origin === 'caller' && origin === 'caller' && tookMs === 0)
              if (isTripped(histories[round]!, limits)) expect(holdMs).toBeGreaterThanOrEqual(1);
          });
        },
      ),
    );
  });

  test('G2: count only a lasting success as progress, and no number of quick ones', () => {
    fc.assert(
      fc.property(
        anyRounds,
        anyLimits,
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (rounds, limits, share) => {
          const history = run(rounds, limits, source([BASE_MS])).histories.at(-1) ?? fresh;
          expect(progress(history, share * limits.healthyAfterMs, limits)).toBe(history);
          const healthy = progress(history, limits.healthyAfterMs, limits);
          expect(healthy).toEqual({ ...fresh, rounds: history.rounds });
        },
      ),
    );
  });

  test('G2: are never reset by quick successes: a loop of successes stays tripped', () => {
    const limits: GuardLimits = { burst: 5, healthyAfterMs: 30_000 };
    const rounds = Array(50).fill({ origin: 'caller', tookMs: 100, succeeded: true });
    const { histories } = run(rounds, limits, source([250, 500, 1_000, 2_000]));
    expect(histories.slice(limits.burst).every((history) => isTripped(history, limits))).toBe(true);
    expect(histories.at(-1)?.streak).toBe(50);
  });

  test('G2: forgive one round for each quiet period, so a rare job is not a runaway', () => {
    const limits: GuardLimits = { burst: 5, healthyAfterMs: 30_000 };
    const rounds = Array(1_000).fill({ origin: 'caller', tookMs: 30_000, succeeded: false });
    expect(run(rounds, limits, source([250])).holdsMs.every((holdMs) => holdMs === 0)).toBe(true);
  });

  test('G2: keep growing the delays if quiet periods have forgiven only some rounds', () => {
    const limits: GuardLimits = { burst: 1, healthyAfterMs: 10_000 };
    const delays = source([100, 200, 400, 800]);
    const hot = Array(5).fill({ origin: 'caller', tookMs: 0, succeeded: false });
    const pause = { origin: 'caller' as const, tookMs: 10_000, succeeded: false };
    const { holdsMs } = run([...hot.slice(1), pause, ...hot], limits, delays);
    expect(holdsMs).toEqual([0, 100, 200, 400, 800, 800, 800, 800, 800, 800]);
  });

  test('G5: measure the delay after an outside failure from start to start: time spent on a dead etcd counts', () => {
    const limits: GuardLimits = { burst: 1, healthyAfterMs: 60_000 };
    const outside = (tookMs: number) => ({ origin: 'environment' as const, tookMs, succeeded: false });
    const slow = run([outside(0), outside(0), outside(1_000), outside(0)], limits, source([2_500]));
    expect(slow.holdsMs).toEqual([0, 2_500, 2_500, 1_500]);
    const own = { origin: 'caller' as const, tookMs: 1_000, succeeded: false };
    expect(run([own, own, own], limits, source([2_500])).holdsMs).toEqual([0, 2_500, 2_500]);
  });

  test('let concurrent rounds wait in turn, each for at most one other', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), someDelays, (count, delays) => {
        const limits: GuardLimits = { burst: 1, healthyAfterMs: 60_000 };
        const longest = Math.max(...delays);
        let history = fresh;
        for (let i = 0; i < count; i++) {
          const verdict = admit(history, 'caller', limits, source(delays), 1_000);
          history = verdict.history;
          if (i > 0) expect(verdict.holdMs).toBeGreaterThanOrEqual(BASE_MS);
          expect(verdict.holdMs).toBeLessThanOrEqual(2 * longest);
        }
      }),
    );
  });

  test('count every round', () => {
    fc.assert(
      fc.property(anyRounds, anyLimits, (rounds, limits) => {
        const { histories } = run(rounds, limits, source([BASE_MS]));
        histories.forEach(({ rounds: counted }, index) => expect(counted).toBe(index + 1));
      }),
    );
  });

  test('do not take the time that a call waited for etcd for a pause', () => {
    const limits: GuardLimits = { burst: 5, healthyAfterMs: 2_500 };
    let history = fresh;
    for (let round = 1; round <= 20; round++) {
      const begunAtMs = Math.max(0, history.releasedAtMs);
      const failedAtMs = begunAtMs + 5_000;
      ({ history } = admit(history, 'environment', limits, source([BASE_MS]), failedAtMs, false, begunAtMs));
      expect(isTripped(history, limits)).toBe(round > 5);
    }
  });

  test('make no delay shorter, or longer than two normal ones, if the clock goes back', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e7 }), (backMs) => {
        const limits: GuardLimits = { burst: 1, healthyAfterMs: 60_000 };
        const first = admit(fresh, 'caller', limits, source([250]), 1e8);
        const { holdMs } = admit(first.history, 'caller', limits, source([250]), 1e8 - backMs);
        expect(holdMs).toBeGreaterThanOrEqual(250);
        expect(holdMs).toBeLessThanOrEqual(500);
      }),
    );
  });
});
