import { type ChildProcess, spawn } from 'node:child_process';
import * as http from 'node:http';
import * as https from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { leash } from './child-leash.ts';
import { LogTail } from './log-tail.ts';
import type { PeerNetwork } from './peer-network.ts';
import type { Direction } from './proxy.ts';

/** One etcd process of a cluster that {@link startEtcd} started. It can be stopped, killed, frozen and started again. */
export interface EtcdMember {
  /** The member's name in the cluster: `etcd1`, `etcd2`, `etcd3`. */
  readonly name: string;
  /** Client URL, for example `http://127.0.0.1:12379`. It stays the same over restarts. */
  readonly endpoint: string;
  /** The folder with the member's data. */
  readonly dataDir: string;
  /** Process ID. `undefined` while the member does not run. */
  readonly pid: number | undefined;
  /**
   * Starts the member with the data it has, and waits until it answers clients. A member answers only as part of a
   * quorum. If all three members are stopped, start two of them together: each waits for the other. If the member already
   * runs or is starting, this returns the promise of that start.
   *
   * @throws {EtcdStartError} if the member exits, or is not ready within `startTimeoutMs`. Then the member does not run.
   */
  start(): Promise<void>;
  /**
   * Sends SIGTERM and waits until the member has ended. After 5 s it sends SIGKILL. A frozen member is thawed first.
   *
   * @throws {Error} if the member has not ended 5 s after SIGKILL. Then it hangs in the kernel, for example on a broken disk.
   */
  stop(): Promise<void>;
  /**
   * Sends SIGKILL, as in a crash, and waits until the member has ended.
   *
   * @throws {Error} if the member has not ended after 5 s.
   */
  kill(): Promise<void>;
  /** Sends SIGSTOP: connections stay open, and the member does not answer. If the member does not run, nothing happens. */
  freeze(): void;
  /** Sends SIGCONT: a frozen member continues. */
  thaw(): void;
  /**
   * Blocks the traffic between this member and the others. `up` blocks what this member sends, `down` what it receives.
   * Default: both. Clients still reach the member, and its connections stay open. Blocked bytes arrive after {@link rejoin}.
   *
   * @throws {Error} if etcd was started without `peerNetwork: true`.
   */
  isolate(direction?: Direction): void;
  /** Ends every {@link isolate} of this member. The links to members that are still isolated stay blocked. */
  rejoin(): void;
  /** {@link stop}, then {@link start}. */
  restart(): Promise<void>;
  /** The last lines of the member's log, from all its starts. */
  log(): string;
}

/** etcd could not be started. The error's message ends with the last lines of etcd's log. */
export class EtcdStartError extends Error {
  override readonly name = 'EtcdStartError';
  readonly code = 'ETCD_START_FAILED';
  /** The last lines of etcd's log. */
  readonly log: string;

  constructor(message: string, log: string, options?: ErrorOptions) {
    super(`${message}. The end of its log:\n${log}`, options);
    this.log = log;
  }
}

export interface MemberOptions {
  readonly name: string;
  readonly endpoint: string;
  readonly dataDir: string;
  readonly binary: string;
  readonly args: readonly string[];
  readonly logLines: number;
  readonly startTimeoutMs: number;
  /** A temporary folder to remove when this process ends. */
  readonly temporaryDir: string | undefined;
  readonly peerNetwork: PeerNetwork | undefined;
  /** Environment variables that make the member use `peerNetwork`. */
  readonly peerEnv: NodeJS.ProcessEnv;
}

interface Run {
  readonly child: ChildProcess;
  readonly ready: Promise<void>;
  /** Says how the process ended. Never rejects. */
  readonly ended: Promise<string>;
}

const STOP_TIMEOUT_MS = 5000;
const KILL_TIMEOUT_MS = 5000;
const RETRY_CONNECT_MS = 10;

export class MemberProcess implements EtcdMember {
  readonly name: string;
  readonly endpoint: string;
  readonly dataDir: string;
  readonly #options: MemberOptions;
  readonly #log: LogTail;
  #run: Run | undefined;

  constructor(options: MemberOptions) {
    this.name = options.name;
    this.endpoint = options.endpoint;
    this.dataDir = options.dataDir;
    this.#options = options;
    this.#log = new LogTail(options.logLines);
  }

  get pid(): number | undefined {
    return this.#run?.child.pid;
  }

  start(): Promise<void> {
    this.#run ??= this.#launch();
    return this.#run.ready;
  }

  async stop(): Promise<void> {
    const run = this.#run;
    if (run === undefined) return;
    this.thaw(); // a frozen process does not see SIGTERM
    run.child.kill('SIGTERM');
    if (!(await endsWithin(run.ended, STOP_TIMEOUT_MS))) await this.#kill(run);
  }

  async kill(): Promise<void> {
    if (this.#run !== undefined) await this.#kill(this.#run);
  }

  async #kill({ child, ended }: Pick<Run, 'child' | 'ended'>): Promise<void> {
    child.kill('SIGKILL');
    if (await endsWithin(ended, KILL_TIMEOUT_MS)) return;
    // The child hangs in the kernel, perhaps for ever. It must not keep this process alive.
    child.unref();
    child.stdout?.destroy();
    child.stderr?.destroy();
    throw new Error(
      `${this.name} (process ${child.pid}) did not end within ${KILL_TIMEOUT_MS} ms of SIGKILL`,
    );
  }

  freeze(): void {
    this.#run?.child.kill('SIGSTOP');
  }

  thaw(): void {
    this.#run?.child.kill('SIGCONT');
  }

  isolate(direction: Direction = 'both'): void {
    const { peerNetwork } = this.#options;
    if (peerNetwork === undefined) throw new Error('to isolate a member, start etcd with peerNetwork: true');
    peerNetwork.isolate(this.name, direction);
  }

  rejoin(): void {
    this.#options.peerNetwork?.rejoin(this.name);
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  log(): string {
    return this.#log.toString();
  }

  #launch(): Run {
    const { binary, args, temporaryDir, peerEnv } = this.#options;
    const child = spawn(binary, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...withoutEtcdVariables(process.env), ...peerEnv },
      detached: true, // Ctrl-C in a terminal must not end etcd, because the program resigns through etcd
    });
    this.#log.follow(child.stdout);
    this.#log.follow(child.stderr);
    const held = child.pid === undefined ? undefined : leash(child, temporaryDir);
    const ended = new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(`could not be started: ${error.message}`));
      child.once('close', (code, signal) =>
        resolve(signal === null ? `exited with ${code}` : `died of ${signal}`),
      );
    }).then((how) => {
      held?.release();
      this.#run = undefined;
      return how;
    });
    return { child, ended, ready: this.#untilReady(child, ended) };
  }

  async #untilReady(child: ChildProcess, ended: Promise<string>): Promise<void> {
    const { startTimeoutMs } = this.#options;
    const over = new AbortController();
    const timeout = setTimeout(() => over.abort(), startTimeoutMs);
    const answered = answers(this.endpoint, over.signal).then(() => undefined);
    const problem = await Promise.race([answered, ended]);
    if (problem === undefined && !over.signal.aborted) return clearTimeout(timeout);
    clearTimeout(timeout);
    over.abort();
    const how = problem ?? `was not ready in ${startTimeoutMs} ms`;
    await this.#kill({ child, ended }).catch(() => {}); // only the failed start is reported
    throw new EtcdStartError(`${this.name} (${this.#options.binary}) ${how}`, this.log());
  }
}

async function endsWithin(ended: Promise<string>, limitMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), limitMs);
  });
  const isEnded = await Promise.race([ended.then(() => true), tooLate]);
  clearTimeout(timer);
  return isEnded;
}

/**
 * Resolves when etcd answers a client, or when the signal aborts. Note that etcd accepts connections early, but answers only
 * after it has joined a quorum. Unlike `/health`, this also works with client certificates and while an alarm is active.
 */
async function answers(endpoint: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    if (await request(endpoint, signal)) return;
    await sleep(RETRY_CONNECT_MS, undefined, { signal }).catch(() => {}); // if the signal aborts, the loop ends
  }
}

function request(endpoint: string, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const options = { path: '/version', agent: false, signal } as const;
    const sent = endpoint.startsWith('https:')
      ? // A finished TLS handshake proves that etcd answers, so the certificate need not be checked.
        https.get(endpoint, { ...options, rejectUnauthorized: false })
      : http.get(endpoint, options);
    const done = (answered: boolean): void => {
      resolve(answered);
      sent.destroy();
    };
    sent.on('error', () => resolve(false));
    sent.once('response', () => done(true));
    sent.once('socket', (socket) => socket.once('secureConnect', () => done(true)));
  });
}

/** Removes variables that begin with `ETCD_`, because etcd reads them as flags. */
function withoutEtcdVariables(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('ETCD_')));
}
