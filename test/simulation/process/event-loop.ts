/**
 * The event loop of one process: timers, then arrivals, then immediates, in Node's order. Each callback is
 * followed by all its microtasks. A turn happens at one moment of true time. The durations of its callbacks add
 * up to a lead over true time, and the process does nothing else until true time has caught up.
 */
import type { ProcessClock } from './clock.ts';
import { pop, push, type Event, type VirtualTime } from './scheduler.ts';

export interface LoopTools {
  readonly time: VirtualTime;
  readonly clock: ProcessClock;
  /** Calls a function of the process, and runs the resulting microtasks. */
  call(run: () => void): void;
  /** The delay of timers, in milliseconds. */
  latenessMs(): number;
}

/** The duration of one callback, in milliseconds. */
const CALLBACK_MS = 0.02;

export class EventLoop {
  readonly #tools: LoopTools;
  /** By ID. Their times are on the clock of the process. */
  readonly #timers = new Map<number, Event>();
  readonly #inOrder: Event[] = [];
  #arrived: (() => void)[] = [];
  #immediates = new Map<number, () => void>();
  /** Those of the present turn. */
  #immediatesNow = this.#immediates;
  #lastId = 0;
  /** The true time until which it is busy. */
  #busyUntilMs = 0;
  #isTurning = false;
  #isStopped = false;
  #wakeAtMs = Number.POSITIVE_INFINITY;
  #cancelWake: () => void = () => undefined;
  /** The number of callbacks that have run. */
  callbacks = 0;

  constructor(tools: LoopTools) {
    this.#tools = tools;
  }

  /** True time as this process sees it: ahead of the world's by the durations of its callbacks. */
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
    const timer = { atMs: dueMs, order: id, run };
    this.#timers.set(id, timer);
    push(this.#inOrder, timer);
    if (!this.#isTurning) this.#wakeBy(this.#tools.clock.trueTimeOf(dueMs));
    return id;
  }

  clearTimer(id: number): void {
    const timer = this.#timers.get(id);
    if (timer === undefined) return;
    timer.run = undefined;
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

  /** An event has arrived from the network. */
  arrived(run: () => void): void {
    this.#arrived.push(run);
    this.#wakeBy(0);
  }

  /** Blocks the thread for this long, on the process's own clock. */
  block(ms: number): void {
    const { clock } = this.#tools;
    this.#busyUntilMs = clock.trueTimeOf(clock.monotonicMs(this.nowMs) + ms);
  }

  /** Runs nothing until {@link resume}. */
  stop(): void {
    this.#isStopped = true;
    this.#cancelWake();
    this.#wakeAtMs = Number.POSITIVE_INFINITY;
  }

  resume(): void {
    this.#isStopped = false;
    this.#plan();
  }

  /** The clock has another rate now, so timers are due at other times. */
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
    this.#runTimers();
    const arrived = this.#arrived;
    if (arrived.length > 0) this.#arrived = [];
    for (const run of arrived) this.run(run);
    if (this.#immediates.size > 0) this.#runImmediates();
    this.#isTurning = false;
    this.#plan();
  }

  /** Runs the timers that are due now, and not those that become due meanwhile. */
  #runTimers(): void {
    const untilMs = this.monotonicMs + EPSILON_MS;
    const first = this.#next();
    if (first === undefined || first.atMs > untilMs) return;
    const due: Event[] = [];
    for (let timer: Event | undefined = first; timer !== undefined && timer.atMs <= untilMs;) {
      due.push(timer);
      pop(this.#inOrder);
      timer = this.#next();
    }
    for (const { order, run } of due) if (run !== undefined && this.#timers.delete(order)) this.run(run);
  }

  #runImmediates(): void {
    const immediates = this.#immediates;
    this.#immediatesNow = immediates;
    this.#immediates = new Map();
    for (const [id, run] of immediates) if (immediates.delete(id)) this.run(run);
  }

  /** The timer that is due next. */
  #next(): Event | undefined {
    const timers = this.#inOrder;
    while (timers.length > 0 && timers[0]!.run === undefined) pop(timers);
    return timers[0];
  }

  /** Runs one callback and the resulting microtasks. */
  run(callback: () => void): void {
    this.callbacks++;
    this.#tools.call(callback);
    this.#busyUntilMs = this.nowMs + CALLBACK_MS;
  }

  /** Schedules the next run. */
  #plan(): void {
    if (this.#arrived.length > 0 || this.#immediates.size > 0) return this.#wakeBy(0);
    const next = this.#next();
    if (next !== undefined) this.#wakeBy(this.#tools.clock.trueTimeOf(next.atMs));
  }
}

/** Times are converted between clocks, so a due event may come out slightly early. */
const EPSILON_MS = 1e-6;
