/**
 * One process of the simulated world: the library's real code and a program that uses it, with its own globals,
 * module variables, event loop and clocks. It can be paused, suspended, blocked and killed.
 */
import type { ConnectionListener, Connection, Fact, HostApi, Plan, Program } from '../inside/host.ts';
import { ProcessClock } from './clock.ts';
import type { Code, Tenant } from './code.ts';
import { EventLoop } from './event-loop.ts';
import { between, stream } from './random.ts';
import type { VirtualTime } from './scheduler.ts';

export interface ProcessOptions {
  readonly code: Code;
  readonly time: VirtualTime;
  readonly plan: Plan;
  readonly pid: number;
  readonly seed: number;
  /** Local milliseconds per millisecond of true time. */
  readonly clockRate: number;
  /** The uptime of the machine when the process starts, in milliseconds. */
  readonly bootMs: number;
  connect(process: SimulatedProcess, address: string, to: ConnectionListener): Connection;
  post(process: SimulatedProcess, ...of: Parameters<HostApi['post']>): void;
  onFact(process: SimulatedProcess, fact: Fact, atMs: number): void;
  onLog(process: SimulatedProcess, level: string, text: string, fields: object, atMs: number): void;
  /** An uncaught exception: a real process would end. */
  onCrash(process: SimulatedProcess, error: unknown): void;
  /** A callback of the process begins. */
  onCallback(process: SimulatedProcess): void;
}

/** The largest delay of a Node timer, in milliseconds. */
const LATEST_MS = 1;

export class SimulatedProcess {
  readonly name: string;
  readonly clock: ProcessClock;
  readonly loop: EventLoop;
  #tenant: Tenant | undefined;
  /** The number of calls and streams so far. */
  calls = 0;
  /** The number of promise microtasks so far, if they are counted. */
  microtasks = 0;
  #isPaused = false;
  #isSuspended = false;

  constructor(options: ProcessOptions) {
    const { time, plan, pid, clockRate, bootMs } = options;
    this.name = plan.name;
    this.clock = new ProcessClock(time.now, { rate: clockRate, bootMs });
    const random = stream(options.seed, `process ${pid}`);
    const room = options.code.room();
    this.loop = new EventLoop({
      time,
      clock: this.clock,
      call: (run) => {
        if (this.#tenant === undefined) return;
        options.onCallback(this);
        try {
          room.run(this.#tenant, run);
        } catch (error) {
          options.onCrash(this, error);
        }
      },
      latenessMs: () => between(random, 0, LATEST_MS),
    });
    const tenant = room.admit(this.#hostApi(options, random));
    this.#tenant = tenant;
    this.loop.arrived(() => room.begin(tenant));
  }

  #hostApi(options: ProcessOptions, random: () => number): HostApi {
    const { loop, clock } = this;
    return {
      pid: options.pid,
      hostName: `host-${options.plan.name}`,
      plan: options.plan,
      monotonicMs: () => loop.monotonicMs,
      wallMs: () => clock.wallMs(loop.nowMs),
      bootMs: () => clock.bootMs(loop.nowMs),
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
    return this.#tenant !== undefined;
  }

  /** Whether it is running: alive, not paused or suspended, and not busy. */
  get isRunning(): boolean {
    return this.isAlive && !this.#isPaused && !this.#isSuspended;
  }

  /** Calls its program, at once. */
  ask(question: (program: Program) => void): void {
    const program = this.#tenant?.globals.program;
    if (program === undefined || !this.isRunning) return;
    this.loop.run(() => question(program));
    this.loop.resume();
  }

  /** Drops its globals and variables, with all its timers and promises. */
  kill(): void {
    this.loop.stop();
    this.#tenant = undefined;
  }

  /** SIGSTOP: its clocks continue. */
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
