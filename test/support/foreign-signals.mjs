/** Abort controllers other than Node's: each makes signals of its own class. */
import { createContext, runInContext } from 'node:vm';
import { Window } from 'happy-dom';
import { JSDOM } from 'jsdom';

/** Like abort-controller on npm and older browsers: no `reason`, no `throwIfAborted`, no `once`. */
const polyfill = `
  class OldSignal {
    aborted = false;
    #listeners = new Set();
    addEventListener(type, listener) { if (type === 'abort') this.#listeners.add(listener); }
    removeEventListener(type, listener) { this.#listeners.delete(listener); }
    fire() { this.aborted = true; for (const listener of this.#listeners) listener({ type: 'abort', target: this }); }
  }
  (class OldController { signal = new OldSignal(); abort() { if (!this.signal.aborted) this.signal.fire(); } });
`;

export const foreignControllers = [
  ['happy-dom', () => new new Window().AbortController()],
  ['jsdom', () => new new JSDOM('').window.AbortController()],
  [
    'another realm, with Node`s own class',
    () => {
      const realm = createContext({ EventTarget, Event });
      return new (runInContext(
        `class Signal extends EventTarget { aborted = false; reason = undefined; }
         (class { signal = new Signal(); abort(reason = new Error('over')) {
           this.signal.aborted = true; this.signal.reason = reason; this.signal.dispatchEvent(new Event('abort'));
         } })`,
        realm,
      ))();
    },
  ],
  ['an older realm', () => new (runInContext(polyfill, createContext({})))()],
];
