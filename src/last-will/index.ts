/**
 * The last will: if our process dies, a helper process revokes its leases at once. Otherwise the next leader would wait
 * for the TTL. helper.ts explains how the helper notices the death.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { parse } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import type { Etcd3 } from 'etcd3';
import { privateGuard, type GuardSettings } from '../loop-guard/loop-guard.ts';
import { after, clock } from '../util/clock.ts';
import { settledWithin } from '../util/settle.ts';
import { helperSource } from './helper-source.ts';
import type { ToHelper } from './messages.ts';
import { reachOf } from './reach.ts';

/**
 * Called with the reason when the helper has ended or cannot start. Another start follows. If that helper ends too, there is no
 * further call, until a helper has run for a minute.
 */
export type OnWillLost = (reason: string) => void;

const RESTARTS: GuardSettings = {
  burst: 2,
  baseMs: 1_000,
  capMs: 300_000,
  outsideCapMs: 300_000,
  healthyAfterMs: 60_000,
};

const HELPER_ENDS_WITHIN_MS = 2_000;

/** How long a worker thread waits for the end of its helper, in milliseconds. */
const WORKER_WAITS_MS = 500;

/**
 * How long the helper may take until it reads its pipe, in milliseconds. If a process limit leaves Node too few threads, Node
 * hangs while it starts: the helper does not work, and never ends by itself.
 */
const READY_WITHIN_MS = 15_000;

/**
 * The only variables in the helper's environment: library paths, TLS settings, and what Windows needs. No secrets, and no
 * NODE_OPTIONS.
 */
const INHERITED = [
  'LD_LIBRARY_PATH',
  'NODE_EXTRA_CA_CERTS',
  'OPENSSL_CONF',
  'SSL_CERT_DIR',
  'SSL_CERT_FILE',
  'SystemRoot',
];

export class LastWill {
  readonly #client: Etcd3;
  readonly #guard = privateGuard();
  /** Lease IDs, each with the ID of its cluster. */
  readonly #leases = new Map<string, string | undefined>();
  #onLost: OnWillLost = () => undefined;
  #helper: ChildProcess | undefined;
  /** The helper, as long as it has not said that it reads its pipe. */
  #starting: ChildProcess | undefined;
  /** Resolves when the helper that we last ended has exited. We end a helper when no lease remains. */
  #exit: Promise<void> | undefined;
  #isReported = false;
  #stop = new AbortController();

  constructor(client: Etcd3) {
    this.#client = client;
  }

  /**
   * Adds a lease that the helper revokes if our process dies.
   *
   * @param clusterId ID of the cluster that granted the lease. Answers of another cluster do not count.
   */
  hold(leaseId: string, clusterId: string | undefined, onLost: OnWillLost): void {
    this.#onLost = onLost;
    if (this.#leases.has(leaseId)) return;
    this.#leases.set(leaseId, clusterId);
    if (this.#helper !== undefined) this.#tell(this.#helper, { type: 'hold', leaseId, clusterId });
    else if (this.#leases.size === 1) {
      this.#stop = new AbortController();
      this.#isReported = false;
      void this.#start();
    }
  }

  /** Removes a lease that is gone or must not be revoked. When the last lease is removed, the helper ends. */
  drop(leaseId: string): void {
    if (!this.#leases.delete(leaseId)) return;
    const helper = this.#helper;
    if (helper !== undefined) this.#tell(helper, { type: 'drop', leaseId });
    if (this.#leases.size > 0) return;
    this.#stop.abort();
    this.#guard.forgive(); // the helper ends as intended
    this.#helper = undefined;
    if (helper === undefined) return;
    if (helper === this.#starting) helper.kill('SIGKILL');
    helper.stdin?.end();
    const spare = after(HELPER_ENDS_WITHIN_MS, () => helper.kill('SIGKILL'), true);
    this.#exit = new Promise((resolve) => {
      helper.once('exit', () => {
        spare();
        resolve();
      });
    });
  }

  /**
   * In a worker thread: waits, at most 500 ms, until a helper without leases has ended. Node reaps an ended child process only in
   * the thread that started it. If the thread ended first, the child would stay as a zombie until the whole process ends.
   */
  async ended(): Promise<void> {
    if (!isMainThread && this.#exit !== undefined) await settledWithin(this.#exit, WORKER_WAITS_MS);
  }

  /**
   * Removes a lease that could not be revoked, after etcd has let it expire. The wait does not keep the process alive.
   *
   * @param afterMs the TTL of the lease, in milliseconds.
   */
  dropLater(leaseId: string, afterMs: number): void {
    if (this.#leases.has(leaseId)) after(afterMs, () => this.drop(leaseId), true);
  }

  /** Waits for the loop guard, then starts the helper if a lease is still held. */
  async #start(): Promise<void> {
    const { signal } = this.#stop;
    await this.#guard.pass('environment', RESTARTS, { signal });
    if (signal.aborted) return;
    try {
      const reach = reachOf(this.#client);
      const helper = spawnHelper();
      this.#helper = helper;
      const startedAtMs = clock.now();
      let over = false;
      const endStart = this.#untilReady(helper, () =>
        gone('it did not start, perhaps because of a process limit'),
      );
      const gone = (reason: string): void => {
        if (over) return;
        over = true;
        endStart();
        if (this.#helper === helper) this.#restart(reason, clock.now() - startedAtMs);
      };
      helper.once('error', (error) => gone(error.message));
      helper.once('exit', (code, by) => gone(`it ended (${by ?? code})`));
      helper.stdin?.on('error', () => undefined); // the exit event reports the failure
      this.#tell(helper, { type: 'reach', reach });
      for (const [leaseId, clusterId] of this.#leases)
        this.#tell(helper, { type: 'hold', leaseId, clusterId });
    } catch (error) {
      this.#restart((error as Error).message, 0);
    }
  }

  /** Kills a helper that does not start to read its pipe. @returns a function that ends the wait. */
  #untilReady(helper: ChildProcess, late: () => void): () => void {
    this.#starting = helper;
    const cancel = after(
      READY_WITHIN_MS,
      () => {
        helper.kill('SIGKILL');
        late();
      },
      true,
    );
    const end = (): void => {
      cancel();
      if (this.#starting === helper) this.#starting = undefined;
      helper.stdout?.destroy();
    };
    helper.stdout?.once('data', end);
    return end;
  }

  /** @param ranMs how long the helper ran; 0 if it could not be started. */
  #restart(reason: string, ranMs: number): void {
    this.#helper = undefined;
    this.#guard.healthyFor(ranMs, RESTARTS);
    if (ranMs >= RESTARTS.healthyAfterMs) this.#isReported = false;
    if (!this.#isReported) this.#onLost(reason);
    this.#isReported = true;
    void this.#start();
  }

  #tell(helper: ChildProcess, message: ToHelper): void {
    helper.stdin?.write(`${JSON.stringify(message)}\n`);
  }
}

/**
 * @throws {Error} if `execPath` is an executable that contains the application. Such a helper would be a second copy
 *   of the application.
 */
function spawnHelper(): ChildProcess {
  if (!isPlainRuntime())
    throw new Error(
      'the last will needs plain Node, Bun or Deno, not an executable that contains the application',
    );
  // Bun accepts these arguments unchanged; Deno translates them for its own executable.
  const helper = spawn(process.execPath, ['--input-type=commonjs', '-e', helperSource], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: Object.fromEntries(
      INHERITED.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
    ),
    // A process group and a terminal session of its own. So a signal to our group, or the end of our terminal, does not end the helper.
    detached: true,
    windowsHide: true,
    cwd: parse(process.execPath).root,
  });
  helper.unref();
  // Bun's pipes have no unref, and do not keep the process alive.
  for (const pipe of [helper.stdin, helper.stdout]) (pipe as Partial<Socket> | null)?.unref?.();
  return helper;
}

interface OtherRuntimes {
  readonly Bun?: { readonly main?: string };
  readonly Deno?: { readonly build?: { readonly standalone?: boolean } };
}

function isPlainRuntime(): boolean {
  const { versions } = process;
  const { Bun, Deno } = globalThis as OtherRuntimes;
  if ('bun' in versions) return !/^(\/\$bunfs|\w:[\\/]~BUN)[\\/]/.test(Bun?.main ?? '/$bunfs/');
  if ('deno' in versions) return Deno?.build?.standalone === false;
  const isSea = process.getBuiltinModule('node:sea')?.isSea() === true;
  return !isSea && !('pkg' in process) && !('electron' in versions);
}
