/**
 * Sends all calls to etcd, through our own connections: one etcd3 client for every host of the user's client.
 *
 * - A call has a time limit. It is sent again only if it certainly had no effect, or is safe to repeat.
 * - A connection that does not answer is dropped. Later calls use a new one.
 * - The application's calls do not affect ours. When the application closes its client, our calls end too.
 */
import type { Etcd3 } from 'etcd3';
import { clock } from '../util/clock.ts';
import { Calls, type Asking, type Lane } from './calls.ts';
import { EtcdError, isReply } from './etcd-error.ts';
import { addressesOf, isClosed } from './host.ts';
import { History, type Header, type Proves } from './history.ts';
import { shownAddress, type HostCause, type HostEvent } from './members.ts';
import { Semaphore } from './semaphore.ts';
import { openStream, type Open, type OpenStream } from './stream.ts';
import type { Invoke } from './unary.ts';
import { Uses, type Use } from './uses.ts';

export type { Host } from './host.ts';
export type { OpenStream } from './stream.ts';

export interface CallLimits extends Omit<Asking, 'isAnonymous'> {
  /** How long to wait for the answer, in milliseconds. */
  readonly withinMs: number;
  /** Whether `withinMs` includes the wait for a free place in the lane. Default: false. */
  readonly isTimely?: boolean | undefined;
  /**
   * How long to wait for a free place in the lane if no call of the lane is answered meanwhile, in milliseconds. Default:
   * a timely call waits at most `withinMs` in total, other calls wait without a limit.
   */
  readonly placeWithinMs?: number | undefined;
  /** What the header of the answer proves of etcd's history. Default: `nothing`. */
  readonly proves?: Proves | undefined;
}

/**
 * How many calls of one lane of one client run at once. That is enough to fill a connection. On a slow event loop,
 * more calls would time out and delay renewals.
 */
const IN_FLIGHT = 64;

export class EtcdTransport {
  /** What is known of etcd's history. A member that has not reached it lags behind. */
  readonly history: History = new History();
  /** When we made the latest call whose answer proves a revision (see `Proves`), in milliseconds. */
  provenAtMs: number = Number.NEGATIVE_INFINITY;
  /** The configured addresses without passwords, for log lines. */
  readonly endpoints: readonly string[];
  tell: (event: HostEvent) => void = () => undefined;
  readonly #users: Etcd3;
  readonly #calls: Calls;
  readonly #lanes: Readonly<Record<Lane, Semaphore>> = {
    lease: new Semaphore(IN_FLIGHT),
    queue: new Semaphore(IN_FLIGHT),
    shared: new Semaphore(IN_FLIGHT),
    settle: new Semaphore(IN_FLIGHT),
    caller: new Semaphore(IN_FLIGHT),
  };
  /** When etcd last answered a call of each lane, with a result or an error. */
  readonly #answeredAtMs: Partial<Record<Lane, number>> = {};
  readonly #uses: Uses;
  readonly #changeListeners = new Set<() => void>();
  #isProxied: boolean | undefined;
  readonly #proxyListeners = new Set<() => void>();

  constructor(client: Etcd3) {
    this.#users = client;
    const addresses = addressesOf(client);
    this.endpoints = addresses.map(shownAddress);
    const tell = (event: HostEvent): void => {
      this.tell(event);
      if (event.type === 'cluster.changed') for (const listener of this.#changeListeners) listener();
    };
    this.#calls = new Calls(client, addresses, tell, () => this.#uses.begin());
    this.#uses = new Uses(
      () => this.isClosed,
      () => this.#calls.members.drop(),
    );
  }

  /** Whether the user has closed the client. Our streams must then end, or they would renew an unused lease. */
  get isClosed(): boolean {
    return isClosed(this.#users);
  }

  /** Why hosts do not serve us. Hosts without a failure are left out. Undefined if there is only one host. */
  get causes(): readonly HostCause[] | undefined {
    return this.#calls.members.causes;
  }

  /** The ID of our etcd cluster, in decimal; undefined before it is decided, or if etcd's answers carry none. */
  get clusterId(): string | undefined {
    return this.#calls.members.clusterId;
  }

  /**
   * Whether some host is an `etcd grpc-proxy`, which answers renewals from a keep-alive of its own. Undefined until
   * the first answer to a watch.
   */
  get isProxied(): boolean | undefined {
    return this.#isProxied;
  }

  set isProxied(isProxied: boolean) {
    this.#isProxied = isProxied;
    for (const listener of this.#proxyListeners) listener();
  }

  /** Calls back when {@link isProxied} is set. @returns a function that removes the listener. */
  onProxyKnown(listener: () => void): () => void {
    this.#proxyListeners.add(listener);
    return () => this.#proxyListeners.delete(listener);
  }

  /** Calls back when another cluster has replaced ours. @returns a function that removes the listener. */
  onClusterChanged(listener: () => void): () => void {
    this.#changeListeners.add(listener);
    return () => this.#changeListeners.delete(listener);
  }

  /** Calls back within a second after the user has closed the client. @returns a function that removes the listener. */
  onClientClosed(listener: () => void): () => void {
    return this.#uses.onClosed(listener);
  }

  /** Closes our connections as soon as nothing uses them. */
  closeWhenUnused(): void {
    this.#uses.closeWhenUnused();
  }

  /** @param what what was tried, for error messages. @throws {EtcdError} */
  async unary<T extends { readonly header: Header }>(
    what: string,
    invoke: Invoke<T>,
    limits: CallLimits,
  ): Promise<T> {
    const calledAtMs = clock.now();
    const { withinMs, isTimely, signal, proves = 'nothing', lane = 'queue' } = limits;
    const places = this.#lanes[lane];
    if (!(await this.#takePlace(lane, limits)))
      throw signal?.aborted === true
        ? new EtcdError('aborted', `${what}: aborted`, false)
        : new EtcdError('unavailable', `${what}: too many calls were under way`, false);
    try {
      const dueAtMs = withinMs + (isTimely === true ? calledAtMs : clock.now());
      const asked = this.history.known;
      const answer = await this.#used(what, () => this.#calls.ask(what, invoke, dueAtMs, limits));
      this.#answeredAtMs[lane] = clock.now();
      this.history.told(answer.header, proves, asked);
      if (proves !== 'nothing') this.provenAtMs = Math.max(this.provenAtMs, calledAtMs);
      return answer;
    } catch (fault) {
      if (isReply(fault)) this.#answeredAtMs[lane] = clock.now();
      throw fault;
    } finally {
      places.give();
    }
  }

  /** Long lines of calls are common. So with `placeWithinMs`, the wait ends only if the line does not move. */
  #takePlace(lane: Lane, { withinMs, isTimely, placeWithinMs, signal }: CallLimits): Promise<boolean> {
    if (placeWithinMs === undefined)
      return this.#lanes[lane].take({ withinMs: isTimely === true ? withinMs : undefined, signal });
    return this.#lanes[lane].take({ withinMs: placeWithinMs, signal }, () => this.answeredAtMs(lane));
  }

  /** When etcd last answered a call of this lane, in milliseconds; -Infinity before that. */
  answeredAtMs(lane: Lane): number {
    return this.#answeredAtMs[lane] ?? Number.NEGATIVE_INFINITY;
  }

  /**
   * Opens a stream. Only an answer on it proves that the connection works.
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

  /** Keeps the connections open until the returned use ends. @throws {EtcdError} if the user has closed the client. */
  #use(what: string): Use {
    if (!this.isClosed) return this.#uses.begin();
    throw new EtcdError('client-closed', `${what}: the client was already closed`, false);
  }
}
