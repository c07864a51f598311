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
