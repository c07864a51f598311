/**
 * Standard output, for the default logger.
 *
 * pino's own destination is not used. If a write fails there, as on a full disk, pino throws an error that nobody can
 * catch. At the exit, pino repeats the write without end, so no supervisor restarts the process. `process.exit()` in
 * `onLeader` would also lose lines.
 */
import { writeSync } from 'node:fs';
import { after } from '../util/clock.ts';
import { sleepInThisThread } from '../util/thread-sleep.ts';

/** The most bytes that are kept after failed writes. Beyond this, new lines are dropped. */
const MOST_KEPT_BYTES = 1 << 20;

const RETRY_AFTER_MS = 100;

const TRIES_AT_EXIT = 20;
const PAUSE_AT_EXIT_MS = 10;

export class StandardOutput {
  readonly #write: (bytes: Uint8Array) => number;
  /** What is not written yet. May begin with the rest of a line, if a write has failed in the middle. */
  #kept: Buffer = Buffer.alloc(0);
  #cancelRetry: (() => void) | undefined;

  /** @param write writes at once, and returns how many bytes it took. */
  constructor(write: (bytes: Uint8Array) => number = (bytes) => writeSync(1, bytes)) {
    this.#write = write;
  }

  static open(): StandardOutput {
    // Node makes a pipe non-blocking when `process.stdout` is first read. A full blocking pipe would stop the event loop.
    void process.stdout;
    const out = new StandardOutput();
    process.on('exit', () => out.end());
    return out;
  }

  /** Writes a line now. Never throws. If the write fails, the line is kept and written later. */
  write(line: string): void {
    const bytes = Buffer.from(line);
    if (this.#kept.length + bytes.length <= MOST_KEPT_BYTES) this.#kept = Buffer.concat([this.#kept, bytes]);
    if (this.#cancelRetry === undefined) this.#writeKept();
  }

  /**
   * Gives a slow reader a last chance to take the kept lines, before the process ends. Does nothing unless the last write
   * failed because the pipe was full.
   */
  end(): void {
    for (let left = TRIES_AT_EXIT; left > 0 && this.#cancelRetry !== undefined; left--) {
      sleepInThisThread(PAUSE_AT_EXIT_MS);
      this.#writeKept();
    }
  }

  #writeKept(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    try {
      while (this.#kept.length > 0) this.#kept = this.#kept.subarray(this.#write(this.#kept));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
      this.#cancelRetry = after(RETRY_AFTER_MS, () => this.#writeKept(), true);
    }
  }
}
