/**
 * One host of the user's client, and a connection of our own to it: an etcd3 client for this host alone, made when it is
 * first needed, from the options of the user's client.
 *
 * Nothing of it is shared. The calls of the application cannot close it or open its breaker, and dropping it drops no
 * connection of the application.
 */
import { Etcd3, type IOptions } from 'etcd3';
import { clock, nextTurn } from '../util/clock.ts';

/** The raw calls of etcd3 that we use. */
export type HostClient = Pick<Etcd3, 'kv' | 'leaseClient' | 'watchClient' | 'maintenance' | 'auth'>;

/** What etcd3 keeps of its connections, typed as protected. */
interface Pool {
  readonly hosts: readonly {
    readonly closed: boolean;
    cachedServices: Readonly<Record<string, { close(): void } | undefined>>;
  }[];
  /** Set by `client.mock()`. */
  readonly mockImpl?: unknown;
}

export const poolOf = (client: object): Pool | undefined => {
  const { pool } = client as { pool?: Partial<Pool> };
  return Array.isArray(pool?.hosts) ? (pool as Pool) : undefined;
};

/** The addresses that a client is configured with, each once. */
export function addressesOf(client: object): readonly string[] {
  const { options } = client as { options?: { hosts?: string | readonly string[] } };
  return [...new Set([options?.hosts ?? '127.0.0.1:2379'].flat())];
}

/** A client that could not connect is not replaced when it is younger than this, in milliseconds. */
const DIAL_AGAIN_AFTER_MS = 500;

/**
 * How long gRPC itself waits before it dials again, in milliseconds, give or take a fifth. A new client dials at once. So
 * what passes a guard of ours makes a new one ({@link Host.dialAgain}), and gRPC serves the application's own calls: they
 * cannot make us dial more often, however many fail. It is longer than our guards wait, because gRPC dials once more for
 * a client that is closed.
 */
const GRPC_DIALS_AGAIN_MS = 3_000;

export class Host {
  /** As it stands in the user's configuration. */
  readonly address: string;
  readonly #users: Etcd3;
  #own: Etcd3 | undefined;
  #client: HostClient | undefined;
  #madeAtMs = 0;
  /** Its client could not connect: until gRPC dials again, its calls fail at once. */
  #unreachable: { readonly reason: string; readonly atMs: number } | undefined;

  constructor(users: Etcd3, address: string) {
    this.#users = users;
    this.address = address;
  }

  /** Whether the user's client is used as it is: a mock, or one that is not etcd3's own. */
  get isBorrowed(): boolean {
    const pool = poolOf(this.#users);
    return pool === undefined || (pool.mockImpl ?? null) !== null;
  }

  get client(): HostClient {
    return this.isBorrowed ? this.#users : (this.#client ??= this.#connect());
  }

  /** How long ago its client was made, in milliseconds. */
  get ageMs(): number {
    return clock.now() - this.#madeAtMs;
  }

  #connect(): HostClient {
    const own = new Etcd3(optionsFor(this.#users, this.address));
    this.#own = own;
    this.#madeAtMs = clock.now();
    this.#unreachable = undefined;
    return {
      kv: over(this.#users.kv, own.kv),
      leaseClient: over(this.#users.leaseClient, own.leaseClient),
      watchClient: over(this.#users.watchClient, own.watchClient),
      maintenance: own.maintenance,
      auth: own.auth,
    };
  }

  /** A call found no connection. */
  couldNotConnect(reason: string): void {
    this.#unreachable = { reason, atMs: clock.now() };
  }

  /** The next call dials, if the last dial failed. */
  dialAgain(): void {
    if (this.#unreachable !== undefined && this.ageMs >= DIAL_AGAIN_AFTER_MS) this.drop();
  }

  /** It keeps silent: what begins from now on begins on a new connection. A dial that just failed is not made again. */
  dropSilent(): void {
    if (this.#unreachable === undefined) this.drop();
  }

  /** Why a call just found no connection: the next one need not ask gRPC to learn the same. */
  get justUnreachable(): string | undefined {
    const { reason, atMs } = this.#unreachable ?? { atMs: Number.NEGATIVE_INFINITY };
    return clock.now() - atMs < DIAL_AGAIN_AFTER_MS ? reason : undefined;
  }

  /** Drops the connection: what begins from now on begins on a new one. What is under way ends by itself. */
  drop(): void {
    const own = this.#own;
    this.#own = undefined;
    this.#client = undefined;
    if (own !== undefined) onCleanStack(() => close(own));
  }
}

/** Makes each client differ from all others, or gRPC would let them share one connection. */
let made = 0;

/** A policy of cockatiel's shape that adds nothing. */
const asItIs = { execute: async (call: (context: unknown) => unknown): Promise<unknown> => call({}) };

function optionsFor(users: Etcd3, address: string): IOptions {
  const { options } = users as unknown as { options: IOptions };
  // Tokens are fetched in token.ts, within the limit of the call; deadlines and interceptors are ours.
  const { auth: _auth, defaultCallOptions: _callOptions, ...rest } = options;
  return {
    ...rest,
    hosts: address,
    // No breaker, and nothing is repeated: neither by etcd3, nor by gRPC where the user's service config asks for it.
    faultHandling: { global: asItIs, host: () => asItIs } as unknown as NonNullable<
      IOptions['faultHandling']
    >,
    grpcOptions: {
      ...rest.grpcOptions,
      'grpc.enable_retries': 0,
      'grpc.initial_reconnect_backoff_ms': GRPC_DIALS_AGAIN_MS,
      'grpc.max_reconnect_backoff_ms': GRPC_DIALS_AGAIN_MS,
      'etcd-election.client': ++made,
    },
  };
}

/** The raw calls of the user's client, with whatever the user has laid over them, on our connection. */
function over<T extends object>(users: T, own: T): T {
  const { client } = own as unknown as { client: unknown };
  return Object.create(users, { client: { value: client } }) as T;
}

/** etcd3 itself keeps a channel that still connects for up to a second, with a timer. */
function close(own: Etcd3): void {
  const services: ({ close(): void } | undefined)[] = [];
  for (const host of poolOf(own)?.hosts ?? []) {
    services.push(...Object.values(host.cachedServices));
    host.cachedServices = {};
  }
  own.close();
  for (const service of services) service?.close();
}

/**
 * What follows an answer runs while Node's HTTP/2 is still taking that answer in. On Node 20 (mended in 22.23 and 24.21,
 * nodejs/node#64166) a stream that is reset there can make it send empty frames for ever, until memory is gone.
 */
export function onCleanStack(reset: () => void): void {
  nextTurn(() => {
    try {
      reset();
    } catch {
      // It is gone already: nothing is left to reset.
    }
  });
}
