/**
 * One process of the simulated world: the library's real code and a program that uses it, in a context of its own, with its own
 * event loop and clocks. It can be paused, suspended, blocked and killed.
 */
import vm from 'node:vm';
import type { ConnectionListener, Connection, Fact, HostApi, Plan, Program } from '../inside/host.ts';
import { ProcessClock } from './clock.ts';
import { EventLoop } from './event-loop.ts';
import { between, stream } from './random.ts';
import type { VirtualTime } from './scheduler.ts';

export interface ProcessOptions {
  readonly script: vm.Script;
  readonly time: VirtualTime;
  readonly plan: Plan;
  readonly pid: number;
  readonly seed: number;
  /** Local milliseconds that pass in one of true time. */
  readonly clockRate: number;
  /** Whether a loop of microtasks that never ends is broken off. */
  readonly isCounted: boolean;
  /** How long the machine has been up when the process begins, in milliseconds. */
  readonly bootMs: number;
  connect(process: SimulatedProcess, address: string, to: ConnectionListener): Connection;
  post(process: SimulatedProcess, ...of: Parameters<HostApi['post']>): void;
  onFact(process: SimulatedProcess, fact: Fact, atMs: number): void;
  onLog(process: SimulatedProcess, level: string, text: string, fields: object, atMs: number): void;
  /** An exception that nobody caught: a real process would end. */
  onCrash(process: SimulatedProcess, error: unknown): void;
  /** A callback of the process begins. */
  onCallback(process: SimulatedProcess): void;
}

/** Runs the microtasks of a context. */
const drain = new vm.Script('0', { filename: 'drain.js' });

/** In real milliseconds: no honest callback takes so long. */
const WATCHED = { timeout: 20_000 };

/** A timer of Node's is late by up to this, in milliseconds. */
const LATEST_MS = 1;

/** Node's own, which need nothing from outside. */
const borrowed = { Buffer, Uint8Array, TextDecoder, TextEncoder };

export class SimulatedProcess {
  readonly name: string;
  readonly clock: ProcessClock;
  readonly loop: EventLoop;
  #context: (vm.Context & { program?: Program }) | undefined;
  /** How many calls and streams it has begun. */
  calls = 0;
  /** How many microtasks of promises it has run, if they are counted. */
  microtasks = 0;
  #isPaused = false;
  #isSuspended = false;

  constructor(options: ProcessOptions) {
    const { time, plan, pid, clockRate, bootMs } = options;
    this.name = plan.name;
    this.clock = new ProcessClock(time.now, { rate: clockRate, bootMs });
    const random = stream(options.seed, `process ${pid}`);
    this.loop = new EventLoop({
      time,
      clock: this.clock,
      call: (run) => {
        if (this.#context === undefined) return;
        options.onCallback(this);
        try {
          run();
          drain.runInContext(this.#context, options.isCounted ? WATCHED : undefined);
        } catch (error) {
          options.onCrash(this, error);
        }
      },
      latenessMs: () => between(random, 0, LATEST_MS),
    });
    const simulation = this.#hostApi(options, random);
    this.#context = vm.createContext({ ...borrowed, simulation }, { microtaskMode: 'afterEvaluate' });
    this.loop.arrived(() => options.script.runInContext(this.#context!));
  }

  #hostApi(options: ProcessOptions, random: () => number): HostApi {
    const { loop, clock } = this;
    return {
      pid: options.pid,
      hostName: `host-${options.plan.name}`,
      plan: options.plan,
      monotonicMs: () => loop.monotonicMs,
      wallMs: () => clock.wallMs() + (loop.nowMs - options.time.now()),
      bootMs: () => clock.bootMs() + (loop.nowMs - options.time.now()),
      random,
      setTimer: (run, afterMs) => loop.setTimer(run, afterMs),
      clearTimer: (id) => loop.clearTimer(id),
      setImmediate: (run) => loop.setImmediate(run),
      clearImmediate: (id) => loop.clearImmediate(id),
      block: (ms) => loop.block(ms),
      connect: (address, to) => options.connect(this, address, to),
      post: (...of) => options.post(this, ...of),
      record: (fact) => options.onFact(this, fact, loop.nowMs),
      log: (level, fields, text) => options.onLog(this, level, text, fields, loop.nowMs),
    };
  }

  get isAlive(): boolean {
    return this.#context !== undefined;
  }

  /** Whether it runs now: alive, not paused or suspended, and not busy. */
  get isRunning(): boolean {
    return this.isAlive && !this.#isPaused && !this.#isSuspended;
  }

  /** Asks something of its program, at once. */
  ask(question: (program: Program) => void): void {
    const program = this.#context?.program;
    if (program === undefined || !this.isRunning) return;
    this.loop.run(() => question(program));
    this.loop.resume();
  }

  /** Its context is dropped, with all its timers and promises. */
  kill(): void {
    this.loop.stop();
    this.#context = undefined;
  }

  /** SIGSTOP: its clocks run on. */
  pause(): void {
    this.#isPaused = true;
    this.loop.stop();
  }

  resume(): void {
    this.#isPaused = false;
    this.#goOn();
  }

  /** The machine sleeps: the monotonic clock stands still. */
  suspend(): void {
    this.#isSuspended = true;
    this.clock.suspend();
    this.loop.stop();
  }

  wake(): void {
    this.#isSuspended = false;
    this.clock.wake();
    this.#goOn();
  }

  setClockRate(rate: number): void {
    this.clock.setRate(rate);
    if (this.isRunning) this.loop.replan();
  }

  #goOn(): void {
    if (this.isRunning) this.loop.resume();
  }
}
