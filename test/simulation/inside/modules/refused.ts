/** Modules that the library may import, but must not use in a simulated process. */
const refuse = (): never => {
  throw new Error('this module is not simulated');
};

export const isMainThread = true;

export const [spawn, readFileSync, writeSync, parse, resolve] = [refuse, refuse, refuse, refuse, refuse];
