/**
 * Detects a callback that awaits a call which itself waits for the end of that callback. They would wait for each other.
 *
 * A callback runs inside an async function with a unique name. For the running function, V8 keeps the chain of async functions
 * that await it: the `async` frames of a stack trace. If the name is in that chain, the callback awaits the call. The async
 * context (AsyncLocalStorage) does not show this: a handler that the callback registered has it too, but the callback does
 * not await that handler.
 *
 * If the engine keeps no such chain, or code was compiled to callbacks, nothing is detected. The call then waits for the
 * callback within its time limit.
 */

/** How many stack frames are taken. Enough for real services; a trace is taken only while a callback runs. */
const FRAMES_TAKEN = 200;

let named = 0;
/** Callbacks that run in this process, by frame. While there are none, no trace is taken. */
const running = new Map<string, CallbackFrames>();

/** A callback that awaits the present call. */
export interface Awaiting {
  readonly frame: string;
  /** Whether the callback awaits only this call, so that no other part of it can continue meanwhile. */
  readonly isAlone: boolean;
  /** The candidate whose callback it is, across `Election` objects. */
  readonly frames: CallbackFrames;
}

/** The frames of the callbacks of one candidate, across `Election` objects. */
export class CallbackFrames {
  /** Identifies the candidate within this process. */
  readonly candidate: string;
  readonly election: string;
  readonly #prefix: string;

  constructor(candidate: string, election: string) {
    this.candidate = candidate;
    this.election = election;
    this.#prefix = `etcd-election callback of ${JSON.stringify(candidate)} `;
  }

  newName(): string {
    return `${this.#prefix}${++named}`;
  }

  /** Calls the function, at once, in a frame of this name. */
  run<T>(frame: string, fn: () => T): Promise<Awaited<T>> {
    const inFrame = {
      [frame]: async (): Promise<Awaited<T>> => {
        running.set(frame, this);
        try {
          return await fn();
        } finally {
          running.delete(frame);
        }
      },
    };
    return inFrame[frame]!();
  }

  /** Whether a callback of any candidate runs. Only then can a callback be awaiting a call. */
  static get isAnyRunning(): boolean {
    return running.size > 0;
  }

  /**
   * Returns the callbacks that await the calling async function, the innermost first. Call it only after an `await` in that
   * function. Before that, the caller's frames are on the stack whether it awaits or not.
   */
  static awaiting(): readonly Awaiting[] {
    if (running.size === 0) return [];
    const found: Awaiting[] = [];
    let isAlone = true;
    for (const site of asyncStack()) {
      if (site.isPromiseAll()) isAlone = false;
      const frame = site.getFunctionName() ?? '';
      const frames = running.get(frame);
      if (frames !== undefined) found.push({ frame, isAlone, frames });
    }
    return found;
  }
}

interface Site {
  getFunctionName(): string | null;
  isPromiseAll(): boolean;
}

/** The settings of stack traces, which a program or its tools may have changed. */
interface TraceSettings {
  readonly stackTraceLimit?: unknown;
  readonly prepareStackTrace?: unknown;
}

function asyncStack(): readonly Site[] {
  const settings: TraceSettings = Error;
  const { stackTraceLimit, prepareStackTrace } = settings; // not `{ ...settings }`: the second one is not enumerable
  const trace: { stack?: unknown } = {};
  try {
    Error.stackTraceLimit = FRAMES_TAKEN;
    Error.prepareStackTrace = (_error, sites) => sites;
    Error.captureStackTrace(trace, asyncStack);
    return Array.isArray(trace.stack) ? (trace.stack as Site[]).filter(isSite) : [];
  } catch {
    return []; // the program has frozen `Error`
  } finally {
    restore({ stackTraceLimit, prepareStackTrace });
  }
}

const isSite = (site: Site): boolean =>
  typeof site.getFunctionName === 'function' && typeof site.isPromiseAll === 'function';

function restore(before: TraceSettings): void {
  try {
    Object.assign(Error, before);
  } catch {
    // Frozen: nothing was changed.
  }
}
