import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { after, nextTurn, SystemClock, type Readings } from '../../src/util/clock.ts';

const HOUR_MS = 3_600_000;
/** The time that the clock may miss: less than the smallest margin of a lease (50 ms). */
const OVERLOOKED_MS = 40;

/** A machine whose three clocks behave as on Linux. */
class Machine implements Readings {
  #monotonicMs = 5_000;
  #wallMs = 1_800_000_000_000;
  #bootMs = 90_000;
  bootReads = 0;

  monotonicMs = (): number => this.#monotonicMs;
  wallMs = (): number => this.#wallMs;
  bootMs = (): number => {
    this.bootReads++;
    return Math.floor(this.#bootMs / 10) * 10; // it advances in steps of 10 ms
  };

  run(ms: number): void {
    this.#monotonicMs += ms;
    this.#wallMs += ms;
    this.#bootMs += ms;
  }

  /** CLOCK_MONOTONIC stands still; the wall clock is corrected when the machine resumes. */
  suspend(ms: number): void {
    this.#wallMs += ms;
    this.#bootMs += ms;
  }

  /** Sets the wall clock. */
  step(ms: number): void {
    this.#wallMs += ms;
  }
}

describe('the clock', () => {
  test.for([HOUR_MS, -HOUR_MS, 45, -45, 1])('F9, S2: a wall clock step of %s ms has no effect', (stepMs) => {
    const machine = new Machine();
    const clock = new SystemClock(machine);
    const before = clock.now();
    machine.step(stepMs);
    expect(clock.now()).toBe(before);
    machine.run(1_000);
    expect(clock.now()).toBe(before + 1_000);
    machine.step(-stepMs);
    expect(clock.now()).toBe(before + 1_000);
  });

  test('S2: the time of a suspension counts', () => {
    const machine = new Machine();
    const clock = new SystemClock(machine);
    const before = clock.now();
    machine.run(1_000);
    machine.suspend(HOUR_MS);
    expect(clock.now()).toBe(before + HOUR_MS + 1_000);
    machine.run(500);
    expect(clock.now()).toBe(before + HOUR_MS + 1_500);
  });

  test('S2: a suspension between two wall clock steps: only the suspension counts', () => {
    const machine = new Machine();
    const clock = new SystemClock(machine);
    const before = clock.now();
    machine.step(-HOUR_MS);
    clock.now();
    machine.suspend(60_000);
    clock.now();
    machine.step(2 * HOUR_MS);
    expect(clock.now()).toBe(before + 60_000);
  });

  test.for([-2 * HOUR_MS, -HOUR_MS - 45])(
    'S2: a suspension of an hour counts, although the wall clock is set by %s ms meanwhile',
    (stepMs) => {
      const machine = new Machine();
      const clock = new SystemClock(machine);
      const before = clock.now();
      machine.suspend(HOUR_MS);
      machine.step(stepMs);
      expect(clock.now()).toBe(before + HOUR_MS);
    },
  );

  test('S2: many short suspensions count as one long one', () => {
    const machine = new Machine();
    const clock = new SystemClock(machine);
    const before = clock.now();
    for (let i = 0; i < 100; i++) {
      machine.run(10);
      machine.suspend(30);
      clock.now();
    }
    expect(Math.abs(clock.now() - before - 100 * 40)).toBeLessThanOrEqual(OVERLOOKED_MS);
  });

  test('S2: drift between boot time and the monotonic clock (500 ppm) is not a suspension', () => {
    const machine = new Machine();
    const clock = new SystemClock(machine);
    const before = clock.now();
    const seconds = 600;
    for (let i = 0; i < seconds; i++) {
      machine.run(1_000);
      machine.step(0.5); // NTP slews the wall clock
      clock.now();
    }
    expect(clock.now() - before).toBe(seconds * 1_000);
  });

  test('S2: it never goes back, never runs ahead of real time, and misses no relevant suspension', () => {
    const happening = fc.oneof(
      fc.record({ what: fc.constant('run' as const), ms: fc.integer({ min: 0, max: 20_000 }) }),
      fc.record({ what: fc.constant('suspend' as const), ms: fc.integer({ min: 0, max: HOUR_MS }) }),
      fc.record({ what: fc.constant('step' as const), ms: fc.integer({ min: -HOUR_MS, max: HOUR_MS }) }),
    );
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 40 }), (happenings) => {
        const machine = new Machine();
        const clock = new SystemClock(machine);
        const begunAtMs = clock.now();
        let passedMs = 0;
        let last = begunAtMs;
        for (const { what, ms } of happenings) {
          machine[what](ms);
          if (what !== 'step') passedMs += ms;
          const now = clock.now();
          expect(now).toBeGreaterThanOrEqual(last);
          last = now;
          const behindMs = passedMs - (now - begunAtMs);
          expect(behindMs).toBeLessThanOrEqual(OVERLOOKED_MS + 10);
          expect(behindMs).toBeGreaterThanOrEqual(-10); // boot time advances in steps
        }
      }),
    );
  });

  test('boot time, which costs microseconds, is read only on suspicion', () => {
    const machine = new Machine();
    const clock = new SystemClock(machine);
    const { bootReads } = machine;
    for (let i = 0; i < 1_000; i++) {
      machine.run(100);
      clock.now();
    }
    expect(machine.bootReads).toBe(bootReads);
  });
});

describe('sleep', () => {
  test('ends after its time', async () => {
    const clock = new SystemClock();
    const before = clock.now();
    await clock.sleep(20);
    expect(clock.now() - before).toBeGreaterThanOrEqual(19);
  });

  test('ends at once on an abort, without an exception, and leaves no listener', async () => {
    const stop = new AbortController();
    const clock = new SystemClock();
    const before = clock.now();
    const sleeping = clock.sleep(60_000, stop.signal);
    stop.abort();
    await sleeping;
    await clock.sleep(60_000, stop.signal); // it has already aborted
    expect(clock.now() - before).toBeLessThan(60_000);
    expect(getEventListeners(stop.signal, 'abort')).toEqual([]);
  });

  test('leaves no listener on the signal after its full time', async () => {
    const { signal } = new AbortController();
    await new SystemClock().sleep(1, signal);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });
});

describe('in a jsdom environment, where timers are numbers and clearImmediate is missing,', () => {
  const { setTimeout: begin, clearTimeout: end } = globalThis;
  const timers = new Map<number, NodeJS.Timeout>();
  const numbered = (callback: () => void, ms?: number): number => {
    const id = timers.size + 1;
    timers.set(id, begin(callback, ms));
    return id;
  };
  const pretend = (): void => {
    vi.stubGlobal('setTimeout', numbered);
    vi.stubGlobal('clearTimeout', (id: number) => end(timers.get(id)));
    vi.stubGlobal('setImmediate', (callback: () => void) => numbered(callback, 0));
    vi.stubGlobal('clearImmediate', undefined);
  };
  afterEach(() => vi.unstubAllGlobals());

  test.for([false, true])('a timer runs, and can be cancelled (idle: %s)', async (isIdle) => {
    pretend();
    const happened: string[] = [];
    after(1, () => happened.push('cancelled'), isIdle)();
    await new Promise<void>((resolve) => void after(5, resolve, isIdle));
    expect(happened).toEqual([]);
  });

  test('a call in the next turn can be cancelled', async () => {
    pretend();
    const happened: string[] = [];
    nextTurn(() => happened.push('cancelled'))();
    await new Promise<void>((resolve) => void nextTurn(resolve));
    expect(happened).toEqual([]);
  });
});
