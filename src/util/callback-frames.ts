/**
 * Tells whether a call is awaited by a callback for which the call itself would have to wait.
 *
 * A callback runs inside an async function with a name of its own. V8 keeps, for the function that runs, the chain of
 * async functions that await it: the chain of stack traces with `async` frames. If the name is found there, the
 * callback waits for the call. The async context (AsyncLocalStorage) cannot tell this: a handler that the callback
 * registered carries it too, and nobody waits for that one.
 *
 * Where the engine keeps no such chain, or code was compiled to callbacks, nothing is found, and the call waits for
 * the callback within its time limit.
 */

/** Deep enough for the callers of real services; the trace is taken only while a callback runs. */
const FRAMES_TAKEN = 200;

let named = 0;
/** Callbacks that run in this process, by frame: while there are none, nobody need look. */
const running = new Map<string, CallbackFrames>();

/** A callback that awaits the call at hand. */
export interface Awaiting {
  readonly frame: string;
  /** Whether nothing else of the callback can go on meanwhile: it does not await several things at once. */
  readonly isAlone: boolean;
  /** The candidate whose callback it is, in whatever object. */
  readonly frames: CallbackFrames;
}

/** The frames of the callbacks of one candidate, whichever objects call them. */
export class CallbackFrames {
  /** Tells the candidates of this process apart. */
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

  /** Whether a callback of any candidate runs: only then it can await a call. */
  static get isAnyRunning(): boolean {
    return running.size > 0;
  }

  /**
   * Which callbacks await the async function that asks, the innermost first. Ask only after an `await` of that function,
   * or the frames of its caller are still on the stack, whether it awaits or not.
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

function asyncStack(): readonly Site[] {
  const before: Pick<typeof Error, 'stackTraceLimit' | 'prepareStackTrace'> = { ...Error };
  const trace: { stack?: unknown } = {};
  try {
    Error.stackTraceLimit = FRAMES_TAKEN;
    Error.prepareStackTrace = (_error, sites) => sites;
    Error.captureStackTrace(trace, asyncStack);
    return Array.isArray(trace.stack) ? (trace.stack as Site[]).filter(isSite) : [];
  } catch {
    return []; // `Error` is frozen here
  } finally {
    restore(before);
  }
}

const isSite = (site: Site): boolean =>
  typeof site.getFunctionName === 'function' && typeof site.isPromiseAll === 'function';

function restore(before: Pick<typeof Error, 'stackTraceLimit' | 'prepareStackTrace'>): void {
  try {
    Object.assign(Error, { prepareStackTrace: undefined }, before);
  } catch {
    // Frozen: nothing was changed.
  }
}
