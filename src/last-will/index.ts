/**
 * A last will: when our process dies, a small helper process gives its leases back at once, so that the next
 * leader need not wait for the TTL.
 *
 * The helper holds the other end of a pipe. Only the kernel can close ours, and it does so when every thread of
 * our process is gone: never while we are merely slow, blocked or stopped. Without the helper all goes on as
 * before, only that a crash costs the TTL again.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { parse } from 'node:path';
import type { Etcd3 } from 'etcd3';
import { LoopGuard, type GuardSettings } from '../loop-guard/loop-guard.ts';
import { after, clock } from '../util/clock.ts';
import { helperSource } from './helper-source.ts';
import type { ToHelper } from './messages.ts';
import { reachOf } from './reach.ts';

/** Tells that a crash would cost the TTL again, and why. */
export type OnWillLost = (reason: string) => void;

/** A helper that dies is started again: soon, then later and later. */
const RESTARTS: GuardSettings = {
  burst: 2,
  baseMs: 1_000,
  capMs: 300_000,
  outsideCapMs: 300_000,
  healthyAfterMs: 60_000,
};

/** How long a helper that is no longer needed may take to go, in milliseconds. */
const GOING_MS = 2_000;

/** All that the helper's environment holds: where to find libraries, and roots for TLS. No secret, no NODE_OPTIONS. */
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
  readonly #guard = new LoopGuard('', '');
  /** Lease IDs, each with the ID of its cluster. */
  readonly #leases = new Map<string, string | undefined>();
  #onLost: OnWillLost = () => undefined;
  #helper: ChildProcess | undefined;
  #startedAtMs = 0;
  #told = false;
  #stop = new AbortController();

  constructor(client: Etcd3) {
    this.#client = client;
  }

  /**
   * From now on this lease is given back should we die.
   *
   * @param clusterId of the cluster that granted it: another one's answers count for nothing.
   */
  hold(leaseId: string, clusterId: string | undefined, onLost: OnWillLost): void {
    this.#onLost = onLost;
    if (this.#leases.has(leaseId)) return;
    this.#leases.set(leaseId, clusterId);
    if (this.#helper !== undefined) this.#tell(this.#helper, { type: 'hold', leaseId, clusterId });
    else if (this.#leases.size === 1) {
      this.#stop = new AbortController();
      this.#told = false;
      void this.#start();
    }
  }

  /** The lease is gone, or no longer ours to give back. With the last one the helper ends. */
  drop(leaseId: string): void {
    if (!this.#leases.delete(leaseId)) return;
    const helper = this.#helper;
    if (helper !== undefined) this.#tell(helper, { type: 'drop', leaseId });
    if (this.#leases.size > 0) return;
    this.#stop.abort();
    this.#helper = undefined;
    if (helper === undefined) return;
    helper.stdin?.end();
    helper.once(
      'exit',
      after(GOING_MS, () => helper.kill('SIGKILL'), true),
    );
  }

  /** Each start passes the guard; returns when the helper runs, or is not needed any more. */
  async #start(): Promise<void> {
    const { signal } = this.#stop;
    await this.#guard.pass('environment', RESTARTS, { signal });
    if (signal.aborted) return;
    try {
      const reach = reachOf(this.#client);
      const helper = spawnHelper();
      this.#helper = helper;
      this.#startedAtMs = clock.now();
      let over = false;
      const gone = (reason: string): void => {
        if (over) return;
        over = true;
        if (this.#helper === helper) this.#restart(reason);
      };
      helper.once('error', (error) => gone(error.message));
      helper.once('exit', (code, by) => gone(`it ended (${by ?? code})`));
      helper.stdin?.on('error', () => undefined); // its exit says so
      this.#tell(helper, { type: 'reach', reach });
      for (const [leaseId, clusterId] of this.#leases)
        this.#tell(helper, { type: 'hold', leaseId, clusterId });
    } catch (error) {
      this.#restart((error as Error).message);
    }
  }

  #restart(reason: string): void {
    this.#helper = undefined;
    const stoodMs = clock.now() - this.#startedAtMs;
    this.#guard.healthyFor(stoodMs, RESTARTS);
    if (stoodMs >= RESTARTS.healthyAfterMs) this.#told = false;
    if (!this.#told) this.#onLost(reason);
    this.#told = true;
    void this.#start();
  }

  #tell(helper: ChildProcess, message: ToHelper): void {
    helper.stdin?.write(`${JSON.stringify(message)}\n`);
  }
}

/** @throws {Error} if `execPath` is not a runtime alone: a second copy of us must never be started instead. */
function spawnHelper(): ChildProcess {
  if (!isPlainRuntime())
    throw new Error('the last will needs plain Node, Bun or Deno, not an executable that contains it');
  // Bun takes these arguments as they are; Deno translates them for its own executable.
  const helper = spawn(process.execPath, ['--input-type=commonjs', '-e', helperSource], {
    stdio: ['pipe', 'ignore', 'ignore'],
    env: Object.fromEntries(
      INHERITED.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
    ),
    // A session and group of its own: what ends our group, or our terminal, does not end it.
    detached: true,
    windowsHide: true,
    cwd: parse(process.execPath).root,
  });
  helper.unref();
  (helper.stdin as Partial<Socket> | null)?.unref?.(); // Bun's has none, and keeps no process alive
  return helper;
}

/** What Bun and Deno say of themselves. */
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
