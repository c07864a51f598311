import { setMaxListeners } from 'node:events';

/**
 * An abort controller that many may listen to: Node warns of a leak from the eleventh listener on, and a hundred
 * elections that heal at once are none.
 */
export function sharedAbort(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}

const listeners = new WeakMap<AbortSignal, { all: Set<() => void>; tell: () => void }>();

/**
 * Listens to a signal that belongs to the user, with one listener for all of us: Node warns of the eleventh, and a
 * service has one signal for all its elections.
 *
 * @returns a function that takes the listener away.
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
    all.delete(listener);
    if (all.size > 0) return;
    signal.removeEventListener('abort', tell);
    listeners.delete(signal);
  };
}
