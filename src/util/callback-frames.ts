/**
 * Detects a deadlock: a callback awaits a call, and the call waits for the end of that callback.
 *
 * Each callback runs inside an async function with a unique name. V8's stack trace of a call lists the async functions that
 * await the call. If the name is among them, the callback awaits the call. AsyncLocalStorage would also report a handler that
 * the callback has registered but does not await.
 *
 * Nothing is detected in other engines, or if async functions were compiled to callbacks. A deadlocked call then waits until
 * its time limit.
 */

/** How many frames of a stack are searched. Enough for real services. */
const MOST_FRAMES = 200;

let named = 0;
/** The running callbacks of this process, by the name of their frame. */
const running = new Map<string, CallbackFrames>();

/** A callback that awaits the present call. */
export interface Awaiting {
  readonly frame: string;
  /** Whether the callback awaits only this call. False if it awaits several calls by `Promise.all`. */
  readonly isAlone: boolean;
  readonly frames: CallbackFrames;
}

/** The frames of the callbacks of one candidate, even if several `Election` objects call them. */
export class CallbackFrames {
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

  /** Calls the function at once, in a frame of this name. */
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

  static get isAnyRunning(): boolean {
    return running.size > 0;
  }

  /**
   * Returns the callbacks that await the calling async function, the innermost first. Call this only after an `await` in
   * that function. Before an `await`, the stack also shows callers that do not await.
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
  const { stackTraceLimit, prepareStackTrace } = settings; // a spread would miss prepareStackTrace, which is not enumerable
  const trace: { stack?: unknown } = {};
  try {
    Error.stackTraceLimit = MOST_FRAMES;
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
    // `Error` is frozen, so nothing was changed.
  }
}
