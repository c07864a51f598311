/**
 * One host of the user's client, and our own connection to it: an etcd3 client for this host alone. Our client is made
 * when first needed, from the options of the user's client. Calls of the application cannot close our connection, and
 * our calls cannot close its connections.
 */
import { Etcd3, type IOptions } from 'etcd3';
import { NOT_RESOLVED } from '../core/plain-cause.ts';
import { clock, nextTurn } from '../util/clock.ts';
import { trackDials, type DiallingHost, type Dials, type Service } from './dials.ts';
import { EtcdError } from './etcd-error.ts';

export type HostClient = Pick<Etcd3, 'kv' | 'leaseClient' | 'watchClient' | 'maintenance' | 'auth'>;

/** The connection pool inside etcd3, whose members are typed as protected. */
interface Pool {
  readonly hosts: readonly (DiallingHost & { readonly closed: boolean })[];
  /** Set by `client.mock()`. */
  readonly mockImpl?: unknown;
}

const poolOf = (client: object): Pool | undefined => {
  const { pool } = client as { pool?: Partial<Pool> };
  return Array.isArray(pool?.hosts) ? (pool as Pool) : undefined;
};

export const isClosed = (client: object): boolean =>
  poolOf(client)?.hosts.every(({ closed }) => closed) ?? false;

export function addressesOf(client: object): readonly string[] {
  const { options } = client as { options?: { hosts?: string | readonly string[] } };
  return [...new Set([options?.hosts ?? '127.0.0.1:2379'].flat())];
}

/** A client that could not connect, or reached an unfit member, is replaced only after this age, in milliseconds. */
const DIAL_AGAIN_AFTER_MS = 500;

/**
 * How long gRPC waits before it dials an unreachable host again, in milliseconds, with a jitter of a fifth. Calls of
 * the application do not dial earlier, so a loop around them does not dial more often. Our guarded calls make a new
 * client, which dials at once.
 */
const GRPC_DIALS_AGAIN_MS = 3_000;

/**
 * For this many round trips after its dial, a new connection counts as slow, not silent. The first bytes, the TLS
 * handshake, the HTTP/2 settings and the first answer take at most one round trip each. One is in reserve.
 */
const ROUND_TRIPS = 5;

/**
 * The longest round trip that we believe, in milliseconds. A longer time comes from a suspension or a blocked event
 * loop.
 */
const LONGEST_ROUND_TRIP_MS = 5_000;

/** How many failed addresses of one name are remembered. Beyond that, all are forgotten. */
const MOST_FAILED_ADDRESSES = 16;

export class Host {
  readonly address: string;
  readonly #users: Etcd3;
  #own: { readonly etcd: Etcd3; readonly dials: Dials } | undefined;
  #client: HostClient | undefined;
  #madeAtMs = 0;
  /** Set if the client could not connect. Its calls fail at once, until gRPC dials again. */
  #unreachable: { readonly reason: string; readonly atMs: number } | undefined;
  /** Whether the member cannot serve us. Behind a load balancer, a new connection may reach another member. */
  #isUnfit = false;
  #silentAtMs: number | undefined;
  #heardAtMs = Number.NEGATIVE_INFINITY;
  /**
   * Addresses of this name whose members were unfit or silent. A dial avoids them as long as the name has another one.
   * By itself, gRPC begins with the first address each time. A first member that is cut off from the others would keep us
   * away from them for good.
   */
  readonly #failedAddresses = new Set<string>();

  constructor(users: Etcd3, address: string) {
    this.#users = users;
    this.address = address;
  }

  /** Whether the user's client is used unchanged, because it is a mock or not a client of etcd3. */
  get isBorrowed(): boolean {
    const pool = poolOf(this.#users);
    return pool === undefined || (pool.mockImpl ?? null) !== null;
  }

  get client(): HostClient {
    return this.isBorrowed ? this.#users : (this.#client ??= this.#connect());
  }

  get ageMs(): number {
    return clock.now() - this.#madeAtMs;
  }

  /** When the last connection was dropped because the host was silent; undefined if the host has answered since. */
  get silentAtMs(): number | undefined {
    return this.#silentAtMs;
  }

  /** When anything last came on the present connection: an answer or a stream message. -Infinity before that. */
  get heardAtMs(): number {
    return this.#heardAtMs;
  }

  #connect(): HostClient {
    const own = new Etcd3(optionsFor(this.#users, this.address));
    this.#own = { etcd: own, dials: trackDials(poolOf(own)?.hosts ?? [], this.#failedAddresses) };
    this.#madeAtMs = clock.now();
    this.#heardAtMs = Number.NEGATIVE_INFINITY;
    this.#unreachable = undefined;
    this.#isUnfit = false;
    return {
      kv: wrappedCalls(this.#users.kv, own.kv),
      leaseClient: wrappedCalls(this.#users.leaseClient, own.leaseClient),
      watchClient: wrappedCalls(this.#users.watchClient, own.watchClient),
      maintenance: own.maintenance,
      auth: own.auth,
    };
  }

  // The next three methods take the client that was asked. What an earlier client met says nothing about the present one.

  couldNotConnect(client: HostClient, reason: string): void {
    if (client !== this.#client) return;
    this.#unreachable = { reason, atMs: clock.now() };
    this.#failedAddresses.clear(); // perhaps the other addresses are worse
  }

  couldNotServe(client: HostClient): void {
    if (client === this.#client) this.#isUnfit = true;
  }

  /**
   * Clears earlier failures of the connection, because gRPC may have dialled again by itself.
   *
   * @param isProbe whether the answer came to a probe or on a stream. An unfit member may send such an answer too.
   */
  answered(client: HostClient, isProbe: boolean): void {
    if (client !== this.#client) return;
    this.#heardAtMs = clock.now();
    this.#unreachable = undefined;
    this.#silentAtMs = undefined;
    if (!isProbe) this.#isUnfit = false;
  }

  /** For calls that passed a guard: replaces a connection that could not be made, or that reached an unfit member. */
  dialAgain(): void {
    const isUseless = this.#isUnfit || this.#unreachable !== undefined;
    if (isUseless && this.ageMs >= DIAL_AGAIN_AFTER_MS) this.#dropFailed();
  }

  /** For calls of the application: replaces only a connection to an unfit member, no more often than gRPC dials. */
  dialAgainSlowly(): void {
    if (this.#isUnfit && this.ageMs >= GRPC_DIALS_AGAIN_MS) this.#dropFailed();
  }

  /**
   * Whether the first answer may still be under way on a slow network. If we dropped each connection before its first
   * answer, we would never get an answer.
   */
  get isSlow(): boolean {
    const dial = this.#own?.dials.answered;
    if (dial === undefined) return false;
    const roundTripMs = Math.min(dial.firstBytesAfterMs, LONGEST_ROUND_TRIP_MS);
    return clock.now() - dial.dialledAtMs < ROUND_TRIPS * roundTripMs;
  }

  /**
   * The host is silent on the connection of this client, so later calls use a new one. Keeps a connection that is slow,
   * or that could not be made. Also keeps a client that still resolves the name of its host: nothing can cancel a lookup,
   * and a new client would only start another.
   */
  dropSilent(client: HostClient): void {
    const isKept = this.#unreachable !== undefined || this.isSlow || this.#isResolving;
    if (client !== this.#client || isKept) return;
    this.#silentAtMs = clock.now();
    this.#dropFailed();
  }

  /**
   * Turns the error "client closed" into an outage if the user has not closed the client. Then we have dropped our own
   * connection before the call was sent. That can happen while a method that the user has wrapped delays the call.
   */
  unlessDropped(what: string, error: unknown): unknown {
    const isDropped =
      error instanceof EtcdError &&
      error.kind === 'client-closed' &&
      !this.isBorrowed &&
      !isClosed(this.#users);
    return isDropped ? new EtcdError('unavailable', `${what}: its connection was dropped`, false) : error;
  }

  /**
   * Why a connection failed, if a call noticed that in the last half second; otherwise undefined. If there is a reason, a call
   * of the application fails without asking gRPC.
   */
  get justUnreachable(): string | undefined {
    const { reason, atMs } = this.#unreachable ?? { atMs: Number.NEGATIVE_INFINITY };
    return clock.now() - atMs < DIAL_AGAIN_AFTER_MS ? reason : undefined;
  }

  /** Ends a sentence about a host that does not answer; empty if the reason is unknown. */
  get whySilent(): string {
    return this.#isResolving ? NOT_RESOLVED : '';
  }

  get #isResolving(): boolean {
    return this.#own?.dials.hasBegun === false;
  }

  #dropFailed(): void {
    const address = this.#own?.dials.connectedTo;
    // If no other address accepts a connection, a failed one may be the better choice.
    if (address === undefined || this.#failedAddresses.size >= MOST_FAILED_ADDRESSES)
      this.#failedAddresses.clear();
    if (address !== undefined && this.#unreachable === undefined) this.#failedAddresses.add(address);
    this.drop();
  }

  /** Drops the connection. Later calls use a new one; calls under way end by themselves. */
  drop(): void {
    const own = this.#own;
    this.#own = undefined;
    this.#client = undefined;
    if (own === undefined) return;
    onCleanStack(() => {
      close(own.etcd);
      own.dials.end();
    });
  }
}

/** Makes the options of every client differ. Otherwise gRPC would let clients share one connection. */
let made = 0;

/** A cockatiel policy that only makes the call. */
const asItIs = { execute: async (call: (context: unknown) => unknown): Promise<unknown> => call({}) };

function optionsFor(users: Etcd3, address: string): IOptions {
  const { options } = users as unknown as { options: IOptions };
  // calls.ts fetches tokens, so leave out `auth`. We set deadlines and interceptors ourselves, so leave out
  // `defaultCallOptions`.
  const { auth: _auth, defaultCallOptions: _callOptions, ...rest } = options;
  return {
    ...rest,
    hosts: address,
    // No circuit breaker, and no retries of etcd3 or of a gRPC service config.
    faultHandling: { global: asItIs, host: () => asItIs } as unknown as NonNullable<
      IOptions['faultHandling']
    >,
    grpcOptions: {
      // We want no service config. By default, gRPC also asks DNS for one.
      'grpc.service_config_disable_resolution': 1,
      ...rest.grpcOptions,
      'grpc.enable_retries': 0,
      'grpc.initial_reconnect_backoff_ms': GRPC_DIALS_AGAIN_MS,
      'grpc.max_reconnect_backoff_ms': GRPC_DIALS_AGAIN_MS,
      // The default is 30 s. A member that has come back at another address would stay out of reach for that long.
      'grpc.dns_min_time_between_resolutions_ms': GRPC_DIALS_AGAIN_MS,
      'etcd-election.client': ++made,
    },
  };
}

/** The user's call objects on our own connection. Methods that the user has wrapped stay wrapped. */
function wrappedCalls<T extends object>(users: T, own: T): T {
  const { client } = own as unknown as { client: unknown };
  return Object.create(users, { client: { value: client } }) as T;
}

/** Closes a client. etcd3's own `close()` would keep a connecting channel and a timer for up to a second. */
function close(own: Etcd3): void {
  const services: (Service | undefined)[] = [];
  for (const host of poolOf(own)?.hosts ?? []) {
    services.push(...Object.values(host.cachedServices));
    host.cachedServices = {};
  }
  own.close();
  for (const service of services) service?.close();
}

/**
 * Resets a stream in the next turn, outside of Node's HTTP/2 code. The handlers of an answer run while Node still reads
 * the answer. On Node 20, a reset in a handler can make Node send empty frames until memory runs out. Node 22.23 and
 * 24.21 have fixed this (nodejs/node#64166).
 */
export function onCleanStack(reset: () => void): void {
  nextTurn(() => {
    try {
      reset();
    } catch {
      // The stream is already closed.
    }
  });
}
