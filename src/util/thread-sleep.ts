const neverNotified = new Int32Array(new SharedArrayBuffer(4));

/** Blocks this thread for `ms` milliseconds. Returns at once in a thread that may not sleep. */
export function sleepInThisThread(ms: number): void {
  try {
    Atomics.wait(neverNotified, 0, 0, ms);
  } catch {
    // For example the main thread of a browser window in Electron.
  }
}
