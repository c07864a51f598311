import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { leash } from '../child-leash.ts';
import { type FaultyProxy, startProxy } from '../proxy.ts';
import type { Act } from './history.ts';

export interface ReplicaOptions {
  readonly name: string;
  readonly endpoints: string[];
  readonly prefix: string;
  readonly ttlSeconds: number;
}

export type ToReplica = 'resign' | 'leave';
export type FromReplica =
  | { readonly type: 'act'; readonly fencingToken: string; readonly atMs: number }
  | { readonly type: 'log'; readonly line: string };

export interface ReplicaListener {
  acted(act: Act): void;
  logged(replica: string, line: string): void;
  /** The replica ended by itself. */
  died(replica: string, how: string): void;
}

/** What the demo has done to the replica. */
export type Plight = 'well' | 'killed' | 'frozen' | 'cut off';

const LEAVE_TIMEOUT_MS = 3000;
const program = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './replica.ts' : './replica.js', import.meta.url),
);

export class Replica {
  readonly name: string;
  plight: Plight = 'well';
  readonly #options: ReplicaOptions;
  /** One proxy for every member of etcd. Other replicas have their own. */
  readonly #proxies: readonly FaultyProxy[];
  readonly #listener: ReplicaListener;
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();

  static async create(options: ReplicaOptions, listener: ReplicaListener): Promise<Replica> {
    const started = await Promise.allSettled(options.endpoints.map((target) => startProxy({ target })));
    const proxies = started.flatMap((each) => (each.status === 'fulfilled' ? each.value : []));
    const failed = started.find(({ status }) => status === 'rejected') as PromiseRejectedResult | undefined;
    if (failed === undefined) return new Replica(options, proxies, listener);
    await Promise.all(proxies.map((proxy) => proxy.close())); // open proxies would keep the demo alive
    throw failed.reason;
  }

  private constructor(options: ReplicaOptions, proxies: readonly FaultyProxy[], listener: ReplicaListener) {
    this.name = options.name;
    this.#options = { ...options, endpoints: proxies.map(({ endpoint }) => endpoint) };
    this.#proxies = proxies;
    this.#listener = listener;
  }

  start(): void {
    const child = fork(program, [JSON.stringify(this.#options)], {
      execArgv: [],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      detached: true, // Ctrl-C in a terminal reaches only the demo, which ends the replicas
    });
    const held = leash(child);
    const { name } = this;
    child.on('message', (message: FromReplica) => {
      if (message.type === 'log') this.#listener.logged(name, message.line);
      else
        this.#listener.acted({
          replica: name,
          fencingToken: BigInt(message.fencingToken),
          atMs: message.atMs,
        });
    });
    this.#child = child;
    this.plight = 'well';
    this.#ended = once(child, 'close').then(
      ([code, signal]: unknown[]) => {
        held.release();
        if (this.#child !== child) return;
        this.#child = undefined;
        this.#listener.died(name, String(signal ?? code));
      },
      (error: unknown) => {
        held.release();
        this.#listener.died(name, String(error));
      },
    );
  }

  resign(): void {
    this.#tell('resign');
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    this.plight = 'killed';
    child?.kill('SIGKILL'); // this also ends a frozen process
    await this.#ended;
  }

  freeze(): void {
    this.#child?.kill('SIGSTOP');
    this.plight = 'frozen';
  }

  thaw(): void {
    this.#child?.kill('SIGCONT');
    this.plight = 'well';
  }

  /** Blocks all traffic with etcd. Connections stay open. */
  cutOff(): void {
    for (const proxy of this.#proxies) proxy.stall();
    this.plight = 'cut off';
  }

  reconnect(): void {
    for (const proxy of this.#proxies) proxy.resume();
    this.plight = 'well';
  }

  /** Lets the replica resign and end. Kills it after {@link LEAVE_TIMEOUT_MS}. */
  async leave(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return;
    const tooLong = setTimeout(() => child.kill('SIGKILL'), LEAVE_TIMEOUT_MS);
    if (child.connected) child.send('leave' satisfies ToReplica);
    await this.#ended;
    clearTimeout(tooLong);
  }

  async end(): Promise<void> {
    await this.kill();
    await Promise.all(this.#proxies.map((proxy) => proxy.close()));
  }

  #tell(message: ToReplica): void {
    this.#child?.send(message);
  }
}
