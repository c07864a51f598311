import { setMaxListeners } from 'node:events';

/**
 * Returns an abort controller whose signal may have any number of listeners. By default, Node warns of a leak from the eleventh
 * listener on.
 */
export function sharedAbort(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}

/** Describes what {@link isAbortSignal} accepts, for error messages. */
export const A_SIGNAL = 'an AbortSignal (if you have a controller, pass controller.signal)';

/**
 * Whether the value can be used as a signal. Checks the shape, because happy-dom, jsdom, polyfills and other realms have
 * their own class `AbortSignal`.
 */
export function isAbortSignal(value: unknown): value is AbortSignal {
  if (typeof value !== 'object' || value === null) return false;
  const { aborted, addEventListener, removeEventListener } = value as Record<string, unknown>;
  return (
    typeof aborted === 'boolean' &&
    typeof addEventListener === 'function' &&
    typeof removeEventListener === 'function'
  );
}

/** Whether this is the abort reason of `AbortSignal.timeout()`. */
export const isTimeout = (reason: unknown): boolean =>
  typeof reason === 'object' && reason !== null && (reason as { name?: unknown }).name === 'TimeoutError';

const listeners = new WeakMap<AbortSignal, { all: Set<() => void>; tell: () => void }>();

/**
 * Listens to a signal of the user. All listeners share one listener of the signal, because Node warns of a leak from the
 * eleventh listener on.
 *
 * @returns a function that removes the listener.
 */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  let ours = listeners.get(signal);
  if (ours === undefined) {
    const all = new Set<() => void>();
    const tell = (): void => {
      for (const each of all) each();
    };
    signal.addEventListener('abort', tell, { once: true });
    listeners.set(signal, (ours = { all, tell }));
  }
  const { all, tell } = ours;
  all.add(listener);
  return () => {
    if (!all.delete(listener) || all.size > 0) return;
    signal.removeEventListener('abort', tell);
    listeners.delete(signal);
  };
}

/** Resolves when the signal aborts. */
export const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => (signal.aborted ? resolve() : void onAbort(signal, resolve)));

const collected = new FinalizationRegistry<() => void>((off) => off());

/**
 * Like {@link onAbort}, but does not keep the object alive. The signal may live as long as the process.
 *
 * @param act called with the object. This function must hold no reference to the object.
 */
export function onAbortWeakly<T extends object>(
  signal: AbortSignal,
  object: T,
  act: (object: T) => void,
): () => void {
  const weakly = new WeakRef(object);
  const off = onAbort(signal, () => {
    const alive = weakly.deref();
    if (alive !== undefined) act(alive);
  });
  collected.register(object, off);
  return off;
}

/**
 * Returns a signal of this realm that aborts with the user's signal. Some functions refuse signals of another realm.
 *
 * @returns the signal, and a function that stops following.
 */
export function followed(signal: AbortSignal | undefined): { signal: AbortSignal; off: () => void } {
  const own = new AbortController();
  const follow = (): void => own.abort(signal?.reason);
  if (signal?.aborted === true) follow();
  const off = signal === undefined || signal.aborted ? () => undefined : onAbort(signal, follow);
  return { signal: own.signal, off };
}

/**
 * Waits with a signal that aborts as soon as any of the given signals does. Replaces `AbortSignal.any`. On Node 20, each use of
 * that function leaks some bytes while one of its sources lives. Some of our sources live as long as the process.
 */
export async function untilAny<T>(
  signals: readonly AbortSignal[],
  wait: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const first = new AbortController();
  const aborted = signals.find((signal) => signal.aborted);
  if (aborted !== undefined) first.abort(aborted.reason);
  const offs = signals.map((signal) => onAbort(signal, () => first.abort(signal.reason)));
  try {
    return await wait(first.signal);
  } finally {
    for (const off of offs) off();
  }
}
