/**
 * The signal of a term. Many programs clean up in an `abort` listener, but a plain signal awaits no listener. The signal of a
 * term passes every listener to the term, which awaits what the listener returns.
 */
import { AsyncResource } from 'node:async_hooks';
import { sharedAbort } from '../util/abort.ts';

type Listener = Parameters<AbortSignal['addEventListener']>[1];

/** @param call calls an `abort` listener. */
export function termSignal(call: (listener: () => unknown) => void): AbortController {
  const controller = sharedAbort();
  const { signal } = controller;
  const wrappers = new WeakMap<object, (event: Event) => void>();
  const wrapperOf = (listener: Listener): Listener => {
    if (typeof listener !== 'function' && typeof listener !== 'object') return listener; // refused by Node
    if (listener === null) return listener;
    let wrapper = wrappers.get(listener);
    if (wrapper === undefined) {
      // The listener keeps the async context in which it was added. The term may end in the context of another election.
      wrapper = AsyncResource.bind((event: Event) =>
        call(() =>
          typeof listener === 'function' ? listener.call(signal, event) : listener.handleEvent(event),
        ),
      );
      wrappers.set(listener, wrapper);
    }
    return wrapper;
  };
  replace(signal, 'addEventListener', wrapperOf);
  replace(signal, 'removeEventListener', wrapperOf);
  replaceOnAbort(signal);
  return controller;
}

/** Sets `onabort` through the replaced `addEventListener`, so that the promise of this listener is awaited too. */
function replaceOnAbort(signal: AbortSignal): void {
  let present: AbortSignal['onabort'] = null;
  Object.defineProperty(signal, 'onabort', {
    get: () => present,
    set(listener: unknown) {
      if (present !== null) signal.removeEventListener('abort', present);
      present = typeof listener === 'function' ? (listener as typeof present) : null;
      if (present !== null) signal.addEventListener('abort', present);
    },
    configurable: true,
  });
}

function replace(
  signal: AbortSignal,
  name: 'addEventListener' | 'removeEventListener',
  wrapperOf: (listener: Listener) => Listener,
): void {
  const native = signal[name].bind(signal);
  const value = (type: string, listener: Listener, ...rest: []): void =>
    native(type as 'abort', type === 'abort' ? wrapperOf(listener) : listener, ...rest);
  Object.defineProperty(signal, name, { value, configurable: true, writable: true });
}
