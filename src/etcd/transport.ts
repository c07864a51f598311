/**
 * How we reach etcd: through connections of our own, one etcd3 client for each host of the user's client.
 *
 * - A call is sent once, to a host of our choice, and waits no longer than its own time limit. What may happen twice
 *   without harm goes to another host too while the first does not answer.
 * - A connection that does not answer is dropped. Later calls begin on a new one.
 * - Nothing that the application does on its client bears on ours. When it closes its client, ours end too; and they are
 *   closed when nothing of ours needs them.
 */
import type { Etcd3 } from 'etcd3';
import { clock } from '../util/clock.ts';
import { Calls } from './calls.ts';
import { EtcdError } from './etcd-error.ts';
import { addressesOf, poolOf, type Host } from './host.ts';
import { History, type Header, type Proves } from './history.ts';
import type { HostEvent } from './members.ts';
import { Semaphore } from './semaphore.ts';
import { openStream, type Open, type OpenStream } from './stream.ts';
import type { Invoke } from './unary.ts';
import { Uses, type Use } from './uses.ts';

export type { Host } from './host.ts';
export type { OpenStream } from './stream.ts';

export interface CallLimits {
  /** How long to wait for the answer, in milliseconds. */
  readonly withinMs: number;
  /** Ends the call early. */
  readonly signal?: AbortSignal | undefined;
  /** Whether `withinMs` counts while the call still waits for its turn: for what must end in time. */
  readonly isTimely?: boolean | undefined;
  /** What the header of the answer proves of etcd's history. Default: `nothing`. */
  readonly proves?: Proves | undefined;
  /** Whether another host is asked too while the first does not answer: for what may happen twice without harm. */
  readonly isHedged?: boolean | undefined;
  /** A host to pass over if another one is not a suspect. */
  readonly avoid?: Host | undefined;
  /** Which calls it shares its places with. Default: `queue`. */
  readonly lane?: Lane | undefined;
}

/**
 * Calls wait only for others of their lane: `lease` for grants, revocations and confirmations, `queue` for keys of candidates
 * and reads of ours, `caller` for what the application asks for.
 */
export type Lane = 'lease' | 'queue' | 'caller';

/**
 * Calls of one lane of one client that may be under way at once. Enough to fill a connection; more of them only wait on a slow
 * event loop until their time is up, and keep renewals waiting with them. (etcd itself refuses some thousands.)
 */
const IN_FLIGHT = 64;

export class EtcdTransport {
  /** How far etcd's history is known to go: a member that has not reached it lags behind. */
  readonly history: History = new History();
  /** When the last linearizable answer was asked for. */
  provenAtMs: number = Number.NEGATIVE_INFINITY;
  /**
   * Whether some host is an `etcd grpc-proxy`, as its answer to a watch shows; undefined until there was one. Such a proxy
   * answers renewals from a keep-alive of its own.
   */
  isProxied: boolean | undefined;
  /** As the user gave them, for people; without a password. */
  readonly endpoints: readonly string[];
  /** Takes what there is to tell. */
  tell: (event: HostEvent) => void = () => undefined;
  readonly #users: Etcd3;
  readonly #calls: Calls;
  readonly #lanes: Readonly<Record<Lane, Semaphore>> = {
    lease: new Semaphore(IN_FLIGHT),
    queue: new Semaphore(IN_FLIGHT),
    caller: new Semaphore(IN_FLIGHT),
  };
  readonly #uses: Uses;
  readonly #changeListeners = new Set<() => void>();

  constructor(client: Etcd3) {
    this.#users = client;
    const addresses = addressesOf(client);
    this.endpoints = addresses.map((address) => address.replace(/\/\/[^@/]*@/, '//'));
    this.#calls = new Calls(client, addresses, (event) => {
      this.tell(event);
      if (event.type === 'cluster.changed') for (const listener of this.#changeListeners) listener();
    });
    this.#uses = new Uses(
      () => this.isClosed,
      () => this.#calls.members.drop(),
    );
  }

  /** Whether the user has closed the client: an open stream would go on, and renew a lease that no campaign uses. */
  get isClosed(): boolean {
    return poolOf(this.#users)?.hosts.every(({ closed }) => closed) ?? false;
  }

  /** The ID of our etcd cluster, in decimal; undefined until etcd has answered. */
  get clusterId(): string | undefined {
    return this.#calls.members.clusterId;
  }

  /** Calls back when another cluster has taken the place of ours. @returns what takes the listener away. */
  onClusterChanged(listener: () => void): () => void {
    this.#changeListeners.add(listener);
    return () => this.#changeListeners.delete(listener);
  }

  /** Calls back, within a second, when the user has closed the client. @returns what takes the listener away. */
  onClientClosed(listener: () => void): () => void {
    return this.#uses.onClosed(listener);
  }

  /** An election is closed: our connections are too, as soon as nothing uses them. */
  rest(): void {
    this.#uses.rest();
  }

  /**
   * One call, sent once; if it is hedged, once to each host at most.
   *
   * @param what said in errors: what was tried.
   * @throws {EtcdError}
   */
  async unary<T extends { readonly header: Header }>(
    what: string,
    invoke: Invoke<T>,
    limits: CallLimits,
  ): Promise<T> {
    const calledAtMs = clock.now();
    const { withinMs, isTimely, proves = 'nothing', lane = 'queue' } = limits;
    const slots = this.#lanes[lane];
    if (!(await slots.take(isTimely === true ? withinMs : undefined)))
      throw new EtcdError('unavailable', `${what}: too many calls were under way`, false);
    try {
      const dueAtMs = withinMs + (isTimely === true ? calledAtMs : clock.now());
      const asked = this.history.known;
      const answer = await this.#used(what, () => this.#calls.ask(what, invoke, dueAtMs, limits));
      this.history.told(answer.header, proves, asked);
      if (proves !== 'nothing') this.provenAtMs = Math.max(this.provenAtMs, calledAtMs);
      return answer;
    } finally {
      slots.give();
    }
  }

  /**
   * Opens a stream. That it is open says nothing about a connection: only an answer on it does.
   *
   * @throws {EtcdError}
   */
  async stream<Request, Response>(
    what: string,
    open: Open<Request, Response>,
    limits: CallLimits,
  ): Promise<OpenStream<Request, Response>> {
    const use = this.#use(what);
    try {
      return await openStream(this.#calls, what, open, limits, use);
    } catch (error) {
      use.end();
      throw error;
    }
  }

  async #used<T>(what: string, call: () => Promise<T>): Promise<T> {
    const use = this.#use(what);
    try {
      return await call();
    } finally {
      use.end();
    }
  }

  /** Keeps the connections until it ends. @throws {EtcdError} if the user has closed the client. */
  #use(what: string): Use {
    if (!this.isClosed) return this.#uses.begin();
    throw new EtcdError('client-closed', `${what}: the client was already closed`, false);
  }
}
