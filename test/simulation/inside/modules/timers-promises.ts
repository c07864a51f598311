export const setImmediate = (): Promise<void> =>
  new Promise((resolve) => {
    globalThis.simulation.setImmediate(resolve);
  });
