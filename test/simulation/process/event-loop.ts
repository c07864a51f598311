/**
 * The event loop of one process: timers, then what has arrived, then immediates, as Node turns it. Each callback is followed by all
 * the microtasks that it leaves.
 *
 * A turn happens at one moment of true time. What its callbacks take is added up as a lead over true time, and the process does
 * nothing else until true time has caught up.
 */
import type { ProcessClock } from './clock.ts';
import type { VirtualTime } from './scheduler.ts';

interface Timer {
  readonly id: number;
  readonly dueMs: number;
  readonly run: () => void;
}

export interface LoopTools {
  readonly time: VirtualTime;
  readonly clock: ProcessClock;
  /** Calls a function of the process, and runs the microtasks that it leaves. */
  call(run: () => void): void;
  /** How late a timer is, in milliseconds. */
  latenessMs(): number;
}

/** What one callback takes, in milliseconds. */
const CALLBACK_MS = 0.02;

export class EventLoop {
  readonly #tools: LoopTools;
  readonly #timers = new Map<number, Timer>();
  #arrived: (() => void)[] = [];
  #immediates = new Map<number, () => void>();
  /** Those of the turn at hand. */
  #immediatesNow = this.#immediates;
  #lastId = 0;
  /** Until when it is busy with what it has begun, in true time. */
  #busyUntilMs = 0;
  #isTurning = false;
  #isStopped = false;
  #wakeAtMs = Number.POSITIVE_INFINITY;
  #cancelWake: () => void = () => undefined;
  /** How many callbacks have run. */
  callbacks = 0;

  constructor(tools: LoopTools) {
    this.#tools = tools;
  }

  /** True time as this process sees it: ahead of the world's by what its callbacks have taken. */
  get nowMs(): number {
    return Math.max(this.#tools.time.now(), this.#busyUntilMs);
  }

  get monotonicMs(): number {
    return this.#tools.clock.monotonicMs(this.nowMs);
  }

  get timers(): number {
    return this.#timers.size;
  }

  setTimer(run: () => void, afterMs: number): number {
    const id = ++this.#lastId;
    const dueMs = this.monotonicMs + afterMs + this.#tools.latenessMs();
    this.#timers.set(id, { id, dueMs, run });
    if (!this.#isTurning) this.#wakeBy(this.#tools.clock.trueTimeOf(dueMs));
    return id;
  }

  clearTimer(id: number): void {
    this.#timers.delete(id);
  }

  setImmediate(run: () => void): number {
    const id = ++this.#lastId;
    this.#immediates.set(id, run);
    this.#wakeBy(0);
    return id;
  }

  clearImmediate(id: number): void {
    this.#immediates.delete(id);
    this.#immediatesNow.delete(id);
  }

  /** Something has come in from the network. */
  arrived(run: () => void): void {
    this.#arrived.push(run);
    this.#wakeBy(0);
  }

  /** The thread is busy for so long, on the process's own clock. */
  block(ms: number): void {
    const { clock } = this.#tools;
    this.#busyUntilMs = clock.trueTimeOf(clock.monotonicMs(this.nowMs) + ms);
  }

  /** Nothing runs until {@link resume}. */
  stop(): void {
    this.#isStopped = true;
    this.#cancelWake();
    this.#wakeAtMs = Number.POSITIVE_INFINITY;
  }

  resume(): void {
    this.#isStopped = false;
    this.#plan();
  }

  /** The clock runs at another rate now: timers are due at other times. */
  replan(): void {
    this.stop();
    this.resume();
  }

  #wakeBy(atMs: number): void {
    if (this.#isStopped || this.#isTurning) return;
    const dueMs = Math.max(atMs, this.nowMs);
    if (dueMs >= this.#wakeAtMs) return;
    this.#cancelWake();
    this.#wakeAtMs = dueMs;
    this.#cancelWake = this.#tools.time.at(dueMs, () => {
      this.#wakeAtMs = Number.POSITIVE_INFINITY;
      this.#turn();
    });
  }

  #turn(): void {
    this.#isTurning = true;
    for (const { id, run } of this.#dueTimers()) if (this.#timers.delete(id)) this.run(run);
    const arrived = this.#arrived;
    this.#arrived = [];
    for (const run of arrived) this.run(run);
    const immediates = this.#immediates;
    this.#immediatesNow = immediates;
    this.#immediates = new Map();
    for (const [id, run] of immediates) if (immediates.delete(id)) this.run(run);
    this.#isTurning = false;
    this.#plan();
  }

  #dueTimers(): readonly Timer[] {
    const untilMs = this.monotonicMs + EPSILON_MS;
    const due: Timer[] = [];
    for (const timer of this.#timers.values()) if (timer.dueMs <= untilMs) due.push(timer);
    return due.length > 1 ? due.sort((a, b) => a.dueMs - b.dueMs || a.id - b.id) : due;
  }

  /** Runs one callback, with the microtasks that it leaves. */
  run(callback: () => void): void {
    this.callbacks++;
    this.#tools.call(callback);
    this.#busyUntilMs = this.nowMs + CALLBACK_MS;
  }

  /** Sets out for what is next. */
  #plan(): void {
    if (this.#arrived.length > 0 || this.#immediates.size > 0) return this.#wakeBy(0);
    let dueMs = Number.POSITIVE_INFINITY;
    for (const timer of this.#timers.values()) if (timer.dueMs < dueMs) dueMs = timer.dueMs;
    if (dueMs < Number.POSITIVE_INFINITY) this.#wakeBy(this.#tools.clock.trueTimeOf(dueMs));
  }
}

/** Times are converted between clocks, and what is due may come out a little early. */
const EPSILON_MS = 1e-6;
