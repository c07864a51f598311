/**
 * Starts the guardian process of `run`. If it ends, the next order starts another one.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { clock } from '../../util/clock.ts';
import type { Order } from './guardian.ts';
import { guardianSource } from './guardian-source.ts';

/** Called with the reason when a guardian has ended unasked, at most once a minute. */
export type OnGuardianLost = (reason: string) => void;

const REPORT_EVERY_MS = 60_000;
/** Includes the start of a Node process on a busy machine. */
const READY_WITHIN_MS = 30_000;
/** Until the guardian is ready, it gets a fresh order this often. Otherwise its first order may be out of date. */
const FRESH_ORDER_EVERY_MS = 250;

export class GuardianProcess {
  /** Resolves when the first guardian has its first order; rejects if that guardian ends before that. */
  readonly #ready: Promise<void>;
  readonly #freshOrder: () => Order;
  #process!: ChildProcess;
  #hasEnded = false;
  #isAsked = false;
  #onLost: OnGuardianLost | undefined;
  #reportedMs = -Infinity;

  constructor(freshOrder: () => Order, onLost: OnGuardianLost) {
    this.#freshOrder = freshOrder;
    this.#start();
    this.#ready = new Promise((resolve, reject) => {
      this.#process.stdout?.once('data', () => {
        this.#onLost = onLost;
        resolve();
      });
      onEnd(this.#process, (reason) => reject(new Error(`the guardian process ended (${reason})`)));
    });
    this.#ready.catch(() => undefined); // ready() tells the caller
    this.#tell(freshOrder());
  }

  /**
   * Waits until the guardian has an order, or the term is lost. The guardian reads all orders at once, and obeys the last one.
   *
   * @throws {Error} if the guardian does not get ready.
   */
  async ready(lost: AbortSignal): Promise<void> {
    const dueMs = clock.now() + READY_WITHIN_MS;
    const over = new AbortController();
    const ended = AbortSignal.any([lost, over.signal]);
    const ready = this.#ready.finally(() => over.abort());
    ready.catch(() => undefined); // the race reports it
    while (!ended.aborted) {
      await Promise.race([ready, clock.sleep(FRESH_ORDER_EVERY_MS, ended)]);
      if (ended.aborted) break;
      if (clock.now() > dueMs)
        throw new Error(`the guardian process was not ready within ${READY_WITHIN_MS / 1_000} s`);
      this.#tell(this.#freshOrder());
    }
    if (!lost.aborted) await ready;
  }

  /** Passes an order on, if necessary to a new guardian. */
  obey(order: Order): void {
    if (this.#hasEnded) this.#start();
    this.#tell(order);
  }

  end(): void {
    this.#isAsked = true;
    this.#process.kill('SIGKILL');
  }

  #start(): void {
    const guardian = startGuardian();
    this.#process = guardian;
    this.#hasEnded = false;
    onEnd(guardian, (reason) => {
      this.#hasEnded = true;
      this.#report(reason);
    });
  }

  #tell(order: Order): void {
    this.#process.stdin?.write(`${JSON.stringify(order)}\n`);
  }

  #report(reason: string): void {
    if (this.#isAsked || clock.now() - this.#reportedMs < REPORT_EVERY_MS) return;
    this.#reportedMs = clock.now();
    this.#onLost?.(reason);
  }
}

function onEnd(guardian: ChildProcess, callback: (reason: string) => void): void {
  guardian.once('error', (error) => callback(error.message));
  guardian.once('exit', (code, signal) => callback(signal ?? `code ${code}`));
}

/** The only variables that the guardian inherits. NODE_OPTIONS, for example, could open an inspector or load code. */
const INHERITED = ['PATH', 'LD_LIBRARY_PATH', 'OPENSSL_CONF'] as const;

function startGuardian(): ChildProcess {
  const guardian = spawn(process.execPath, ['--input-type=commonjs', '-e', guardianSource], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: Object.fromEntries(
      INHERITED.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
    ),
    cwd: '/',
    detached: true, // out of reach of the terminal's signals
  });
  guardian.stdin?.on('error', () => undefined); // the guardian has ended, and its exit event reports that
  guardian.unref();
  return guardian;
}
