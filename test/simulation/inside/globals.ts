/**
 * The globals of a simulated process instead of Node's. esbuild inserts them wherever the bundle uses one. This
 * also avoids the slow look-ups of a context's globals. Processes share them: they lead to the running process.
 */
import type { HostApi } from './host.ts';

export { AbortController, AbortSignal } from './abort.ts';

const host: HostApi = globalThis.simulation;

const LONGEST_MS = 2 ** 31 - 1;

/** As in Node: a delay that is not a number, or is too large, is 1 ms. */
const delayOf = (ms: unknown): number => {
  const delay = Number(ms);
  return delay >= 1 && delay <= LONGEST_MS ? Math.trunc(delay) : 1;
};

class Timeout {
  #id = 0;
  readonly #run: () => void;
  readonly #ms: number;
  readonly #isRepeated: boolean;
  #isReferenced = true;

  constructor(run: () => void, ms: number, isRepeated: boolean) {
    this.#run = run;
    this.#ms = ms;
    this.#isRepeated = isRepeated;
    this.refresh();
  }

  refresh(): this {
    host.clearTimer(this.#id);
    this.#id = host.setTimer(() => {
      if (this.#isRepeated) this.refresh();
      this.#run();
    }, this.#ms);
    return this;
  }

  close(): this {
    host.clearTimer(this.#id);
    return this;
  }

  ref(): this {
    this.#isReferenced = true;
    return this;
  }

  unref(): this {
    this.#isReferenced = false;
    return this;
  }

  hasRef(): boolean {
    return this.#isReferenced;
  }
}

export const setTimeout = (run: (...args: unknown[]) => void, ms?: number, ...args: unknown[]): Timeout =>
  new Timeout(() => run(...args), delayOf(ms), false);
export const setInterval = (run: (...args: unknown[]) => void, ms?: number, ...args: unknown[]): Timeout =>
  new Timeout(() => run(...args), delayOf(ms), true);
export const clearTimeout = (timer?: Timeout): void => void timer?.close();
export const clearInterval = (timer?: Timeout): void => clearTimeout(timer);

class Immediate {
  readonly id: number;
  constructor(run: () => void) {
    this.id = host.setImmediate(run);
  }
}

export const setImmediate = (run: (...args: unknown[]) => void, ...args: unknown[]): Immediate =>
  new Immediate(() => run(...args));
export const clearImmediate = (immediate?: Immediate): void => {
  if (immediate !== undefined) host.clearImmediate(immediate.id);
};

/** Its callbacks depend on garbage collection, which no seed controls, so they never run here. */
export class FinalizationRegistry {
  register(): void {}
  unregister(): void {}
}

export const performance = { now: (): number => host.monotonicMs() };

const RealDate = globalThis.Date;
export const Date = class extends RealDate {
  constructor(...args: [] | [number]) {
    super(...(args.length === 0 ? ([host.wallMs()] as const) : args));
  }
  static override now(): number {
    return Math.floor(host.wallMs());
  }
};

export const process = {
  get pid(): number {
    return host.pid;
  },
  env: {},
  /** A simulated process does not end in order: it is killed. */
  on: () => undefined,
  prependListener: () => undefined,
  off: () => undefined,
  execPath: '/simulated/node',
  /** The whole elapsed time. A stopped process has not used it, but nothing here depends on that. */
  cpuUsage: () => ({ user: host.monotonicMs() * 1000, system: 0 }),
  getBuiltinModule: (name: string): never => {
    throw new Error(`${name} is not simulated`);
  },
};

const RealMath = globalThis.Math;
RealMath.random = () => host.random();
export const Math = RealMath;

const RealAtomics = globalThis.Atomics;
export const Atomics = {
  wait(_array: Int32Array, _index: number, _value: number, ms: number): string {
    host.block(ms);
    return 'timed-out';
  },
  load: RealAtomics.load,
  store: RealAtomics.store,
};

// Unchanged, but faster to find.
export const Promise = globalThis.Promise;
export const Map = globalThis.Map;
export const Set = globalThis.Set;
export const WeakMap = globalThis.WeakMap;
export const Number = globalThis.Number;
export const String = globalThis.String;
export const Object = globalThis.Object;
export const Array = globalThis.Array;
export const Error = globalThis.Error;
export const JSON = globalThis.JSON;
export const BigInt = globalThis.BigInt;
export const RegExp = globalThis.RegExp;
export const Symbol = globalThis.Symbol;
export const Reflect = globalThis.Reflect;
export const Buffer = globalThis.Buffer;
