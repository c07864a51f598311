/**
 * Standard output, for the default logger.
 *
 * pino's own destination is not used. If a write fails there, as on a full disk, pino throws an error that nobody can
 * catch. At the exit, pino repeats the write without end, so no supervisor restarts the process. `process.exit()` in
 * `onLeader` would also lose lines.
 */
import { writeSync } from 'node:fs';
import { shared } from '../loop-guard/registry.ts';
import { after } from '../util/clock.ts';
import { sleepInThisThread } from '../util/thread-sleep.ts';

/** The most bytes that are kept after failed writes. Beyond this, new lines are dropped. */
const MOST_KEPT_BYTES = 1 << 20;

const RETRY_AFTER_MS = 100;

const TRIES_AT_EXIT = 20;
const PAUSE_AT_EXIT_MS = 10;

/**
 * Writes to file descriptor 1, except in PM2's cluster mode. There this descriptor is the log of PM2 itself. PM2 replaces
 * `process.stdout.write`, and takes the lines of the application from that function.
 *
 * Elsewhere the stream is not used, even if a program has replaced its function. If a write of the stream fails, as on a full
 * disk, the stream emits an error, which ends the process. A worker thread would end the whole process in this way.
 */
function writeOut(bytes: Uint8Array): number {
  // After `process.disconnect()`, an error of PM2's function would end the process too.
  const isUnderPm2 = process.env['exec_mode'] === 'cluster_mode' && process.connected;
  if (!isUnderPm2 || !Object.hasOwn(process.stdout, 'write')) return writeSync(1, bytes);
  process.stdout.write(Buffer.from(bytes).toString());
  return bytes.length;
}

export class StandardOutput {
  readonly #write: (bytes: Uint8Array) => number;
  /** What is not written yet. May begin with the rest of a line, if a write has failed in the middle. */
  #kept: Buffer = Buffer.alloc(0);
  #cancelRetry: (() => void) | undefined;
  /** Contains this output while a full pipe holds back its lines. */
  #held: Set<StandardOutput> | undefined;

  /** @param write writes at once, and returns how many bytes it took. */
  constructor(write: (bytes: Uint8Array) => number = writeOut) {
    this.#write = write;
  }

  static open(): StandardOutput {
    // Node makes a pipe non-blocking when `process.stdout` is first read. A full blocking pipe would stop the event loop.
    void process.stdout;
    const out = new StandardOutput();
    out.#held = heldOutputs();
    return out;
  }

  /**
   * Writes a line now. If this write or an earlier one has failed, the line is kept and written later. Beyond
   * {@link MOST_KEPT_BYTES} the line is dropped. Never throws.
   */
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
    this.#held?.delete(this);
    try {
      while (this.#kept.length > 0) this.#kept = this.#kept.subarray(this.#write(this.#kept));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
      this.#cancelRetry = after(RETRY_AFTER_MS, () => this.#writeKept(), true);
      this.#held?.add(this);
    }
  }
}

/**
 * The outputs that get a last chance when the process exits. All loaded copies of this module share one listener, because test
 * runners and hot reload load many copies. A listener that is added during the exit would not be called.
 */
const heldOutputs = (): Set<StandardOutput> =>
  shared('held-outputs', '', () => {
    const held = new Set<StandardOutput>();
    process.on('exit', () => {
      const outputs = [...held]; // a copy: `end()` removes and adds its output, so a loop over the set would not end
      for (const out of outputs) out.end();
    });
    return held;
  });
