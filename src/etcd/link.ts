/**
 * How we reach etcd: through connections of our own, one etcd3 client for each host of the user's client.
 *
 * - A call is sent once, to a host of our choice, and waits no longer than its own time limit. What may happen twice
 *   without harm goes to another host too while the first keeps silent.
 * - A connection that keeps silent is dropped, and what begins then begins on a new one.
 * - Nothing that the application does on its client bears on ours. When it closes its client, ours end too; and they are
 *   closed when nothing of ours needs them.
 */
import type { Etcd3 } from 'etcd3';
import { clock } from '../time.ts';
import { EtcdFault, faultOf, type GrpcStatus } from './fault.ts';
import { hedged } from './hedge.ts';
import { addressesOf, Host, onCleanStack, poolOf, type HostClient } from './host.ts';
import { History, type Header, type Proves } from './history.ts';
import { callOptions, type CallOptions } from './intercept.ts';
import { limited } from './limits.ts';
import { Members, type HostEvent } from './members.ts';
import { Slots } from './slots.ts';
import { Tokens } from './token.ts';
import { askOnce, type Invoke } from './unary.ts';
import { Uses, type Use } from './uses.ts';

export type { Host } from './host.ts';

export interface CallLimits {
  /** How long to wait for the answer, in milliseconds. */
  readonly withinMs: number;
  /** Ends the call early. */
  readonly signal?: AbortSignal | undefined;
  /** Whether `withinMs` counts while the call still waits for its turn: for what must end in time. */
  readonly isTimely?: boolean | undefined;
  /** What the header of the answer proves of etcd's history. Default: `nothing`. */
  readonly proves?: Proves | undefined;
  /** Whether another host is asked too while the first keeps silent: for what may happen twice without harm. */
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

/** What we need of etcd3's raw duplex streams. */
export interface RawStream<Request, Response> {
  on(event: 'data', listener: (message: Response) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'end', listener: () => void): unknown;
  write(request: Request): unknown;
  end(): unknown;
  cancel(): unknown;
}

export interface OpenStream<Request, Response> {
  readonly raw: RawStream<Request, Response>;
  /** Where it is open. */
  readonly host: Host;
  /** Its host has renewed a lease. */
  renewed(): void;
  /** Ends it; its host is not to blame. */
  close(): void;
  /** Ends it because the host keeps silent: the connection is dropped, and what begins now begins on a new one. */
  fail(): void;
  /** Ends it because the host lags behind: the next one goes elsewhere, and no connection is dropped. */
  leave(): void;
}

/**
 * Calls of one lane of one client that may be under way at once. Enough to fill a connection; more of them only wait on a slow
 * event loop until their time is up, and keep renewals waiting with them. (etcd itself refuses some thousands.)
 */
const IN_FLIGHT = 64;

/** How long a token may take, in milliseconds: etcd works on a password for 50 ms and more. */
const TOKEN_WITHIN_MS = 2_500;

export class Link {
  /** What etcd has told of its history: a member that has not reached it lags behind. */
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
  readonly #members: Members;
  readonly #lanes: Readonly<Record<Lane, Slots>> = {
    lease: new Slots(IN_FLIGHT),
    queue: new Slots(IN_FLIGHT),
    caller: new Slots(IN_FLIGHT),
  };
  readonly #tokens: Tokens;
  readonly #uses: Uses;
  readonly #changeListeners = new Set<() => void>();

  constructor(client: Etcd3) {
    this.#users = client;
    const addresses = addressesOf(client);
    this.endpoints = addresses.map((address) => address.replace(/\/\/[^@/]*@/, '//'));
    this.#tokens = new Tokens(client);
    this.#members = new Members(
      addresses.map((address) => new Host(client, address)),
      {
        identify: (host, withinMs, signal) => this.#identify(host, clock.now() + withinMs, signal),
        prove: (host, withinMs, signal) => this.#prove(host, clock.now() + withinMs, signal),
      },
      (event) => {
        this.tell(event);
        if (event.type === 'cluster.changed') for (const listener of this.#changeListeners) listener();
      },
    );
    this.#uses = new Uses(
      () => this.isClosed,
      () => this.#members.drop(),
    );
  }

  /** Whether the user has closed the client: what is open would go on, and renew a lease for nobody. */
  get isClosed(): boolean {
    return poolOf(this.#users)?.hosts.every(({ closed }) => closed) ?? false;
  }

  /** The ID of our etcd cluster, in decimal; undefined until etcd has answered. */
  get clusterId(): string | undefined {
    return this.#members.clusterId;
  }

  /** Calls back when another cluster has taken the place of ours. @returns what takes the listener away. */
  onClusterChanged(listener: () => void): () => void {
    this.#changeListeners.add(listener);
    return () => this.#changeListeners.delete(listener);
  }

  /** An election is closed: our connections are too, as soon as nothing uses them. */
  rest(): void {
    this.#uses.rest();
  }

  /**
   * One call, sent once; if it is hedged, once to each host at most.
   *
   * @param what said in errors: what was tried.
   * @throws {EtcdFault}
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
      throw new EtcdFault('unavailable', `${what}: too many calls were under way`, false);
    try {
      const dueAtMs = withinMs + (isTimely === true ? calledAtMs : clock.now());
      const asked = this.history.known;
      const answer = await this.#used(what, () => this.#ask(what, invoke, dueAtMs, limits));
      this.history.told(answer.header, proves, asked);
      if (proves !== 'nothing') this.provenAtMs = Math.max(this.provenAtMs, calledAtMs);
      return answer;
    } finally {
      slots.give();
    }
  }

  #ask<T>(what: string, invoke: Invoke<T>, dueAtMs: number, limits: Asking): Promise<T> {
    const asked = new Set<Host>();
    const { avoid, isAnonymous } = limits;
    const ask = (signal: AbortSignal | undefined, onSilent: () => void): Promise<T> =>
      this.#askHosts(what, invoke, { dueAtMs, signal, onSilent, asked, avoid, isAnonymous });
    return limits.isHedged === true
      ? hedged(ask, { times: this.#members.hosts.length, signal: limits.signal })
      : ask(limits.signal, () => undefined);
  }

  /** Asks one host; what certainly did not happen goes on to the next one. */
  async #askHosts<T>(what: string, invoke: Invoke<T>, how: How): Promise<T> {
    for (let last: EtcdFault | undefined; ;) {
      const host = await this.#members.choose(what, leftOf(how), { avoid: how.avoid, except: how.asked });
      if (host === undefined)
        throw last ?? new EtcdFault('unavailable', `${what}: all hosts are being asked already`, false);
      how.asked.add(host);
      try {
        return await this.#askHost(host, what, invoke, how);
      } catch (fault) {
        if (!(fault instanceof EtcdFault)) throw fault;
        last = fault;
        const isUndone = fault.kind === 'unavailable' && !fault.mayHaveHappened;
        if (!isUndone || how.asked.size >= this.#members.hosts.length || clock.now() >= how.dueAtMs)
          throw fault;
      }
    }
  }

  /** A token that etcd no longer takes is fetched anew, once. */
  async #askHost<T>(host: Host, what: string, invoke: Invoke<T>, how: How): Promise<T> {
    const token = how.isAnonymous === true ? undefined : await this.#tokenFor(what, how);
    try {
      return await this.#send(host, what, invoke, how, token);
    } catch (fault) {
      if (token === undefined || this.#tokens.current === token) throw fault;
      return await this.#send(host, what, invoke, how, await this.#tokenFor(what, how));
    }
  }

  async #send<T>(
    host: Host,
    what: string,
    invoke: Invoke<T>,
    { dueAtMs, signal, onSilent, isProbe }: How,
    token: string | undefined,
  ): Promise<T> {
    const sentAtMs = clock.now();
    try {
      const answer = await askOnce({
        what,
        client: host.client,
        invoke,
        token,
        withinMs: Math.max(0, dueAtMs - sentAtMs),
        signal,
        patienceMs: () => this.#members.choice.patienceMs(host),
        onSilent: () => {
          this.#members.choice.suspect(host, 'no answer');
          onSilent();
        },
        onTimeout: () => {
          // Nothing came on its connection since the call was sent: it may be half open.
          const waitedMs = clock.now() - sentAtMs;
          if (this.#members.choice.heardAtMs(host) < sentAtMs && host.ageMs >= waitedMs) host.drop();
        },
        onMessage: (message) => this.#members.complaint(host, what, message),
        onFailure: (status) => this.#failed(host, status, token),
      });
      if (isProbe === true) this.#members.choice.heard(host);
      else this.#members.choice.answered(host);
      return answer;
    } catch (fault) {
      if (isProbe !== true) await this.#members.doubt(host, what, fault);
      throw fault;
    }
  }

  async #identify(host: Host, dueAtMs: number, signal?: AbortSignal): Promise<void> {
    const how = { dueAtMs, signal, onSilent: () => undefined, asked: new Set<Host>(), isProbe: true };
    await this.#send(
      host,
      'identify the cluster',
      (client, options) => client.maintenance.status(options),
      how,
      undefined,
    );
  }

  /** A linearizable read: a member that cannot serve one is of no use. That we may not read that key is an answer too. */
  async #prove(host: Host, dueAtMs: number, signal?: AbortSignal): Promise<void> {
    const how = { dueAtMs, signal, onSilent: () => undefined, asked: new Set<Host>(), isProbe: true };
    try {
      const token = await this.#tokenFor('probe', how);
      const key = Buffer.from('etcd-election');
      await this.#send(
        host,
        'probe',
        (client, options) => client.kv.range({ key, count_only: true }, options),
        how,
        token,
      );
    } catch (fault) {
      if (!(fault instanceof EtcdFault && fault.kind === 'refused')) throw fault;
    }
  }

  /** The token at hand, or a new one; undefined where none is needed. @throws {EtcdFault} */
  async #tokenFor(
    what: string,
    { dueAtMs, signal }: Pick<How, 'dueAtMs' | 'signal'>,
  ): Promise<string | undefined> {
    if (!this.#tokens.isMissing) return this.#tokens.current;
    const fetching = this.#tokens.get((credentials) =>
      this.#ask(
        'authenticate',
        (client, options) => client.auth.authenticate(credentials, options),
        clock.now() + TOKEN_WITHIN_MS,
        { isHedged: true, isAnonymous: true },
      ).then(({ token }) => token, tokenIfSwitchedOff),
    );
    await limited(what, fetching, leftOf({ dueAtMs, signal }));
    return this.#tokens.current;
  }

  #failed(host: Host, status: GrpcStatus, token: string | undefined): void {
    if (TOKEN_REFUSED.test(status.details)) this.#tokens.refused(token);
    this.#members.failed(host, status);
  }

  /**
   * Opens a stream. That it is open says nothing about a connection: only an answer on it does.
   *
   * @throws {EtcdFault}
   */
  async stream<Request, Response>(
    what: string,
    open: (client: HostClient, options: CallOptions) => Promise<RawStream<Request, Response>>,
    { withinMs, signal, avoid }: CallLimits,
  ): Promise<OpenStream<Request, Response>> {
    const use = this.#use(what);
    try {
      const dueAtMs = clock.now() + withinMs;
      const token = await this.#tokenFor(what, { dueAtMs, signal });
      const host = (await this.#members.choose(what, leftOf({ dueAtMs, signal }), { avoid }))!;
      let isOver = false;
      const options = callOptions({
        token,
        onCall: () => undefined,
        onMessage: (message) => this.#members.complaint(host, what, message),
        onFailure: (status) => {
          if (!isOver) this.#failed(host, status, token);
        },
      });
      const end = (raw: RawStream<Request, Response>): void => {
        isOver = true; // what it ends with is our doing, and says nothing of the host
        use.end();
        void onCleanStack(() => raw.cancel());
      };
      const raw = await limited(
        what,
        open(host.client, options).catch((error: unknown) => {
          throw faultOf(what, undefined, error);
        }),
        leftOf({ dueAtMs, signal }),
        end,
      );
      raw.on('error', () => use.end());
      raw.on('end', () => use.end());
      use.clientClosed = () => end(raw);
      return {
        raw,
        host,
        renewed: () => this.#members.choice.renewed(host),
        close: () => end(raw),
        fail: () => {
          this.#members.choice.suspect(host, 'no answer');
          end(raw);
          host.drop();
        },
        leave: () => {
          this.#members.choice.suspect(host, 'it lags behind');
          end(raw);
        },
      };
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

  /** Keeps the connections until it ends. @throws {EtcdFault} if the user has closed the client. */
  #use(what: string): Use {
    if (!this.isClosed) return this.#uses.begin();
    throw new EtcdFault('client-closed', `${what}: the client was already closed`, false);
  }
}

const leftOf = ({ dueAtMs, signal }: Pick<How, 'dueAtMs' | 'signal'>): CallLimits => ({
  withinMs: Math.max(0, dueAtMs - clock.now()),
  signal,
});

/** Of a call, or of one that fetches the token for others. */
type Asking = Partial<CallLimits> & { readonly isAnonymous?: boolean | undefined };

interface How extends Pick<Asking, 'signal' | 'avoid' | 'isAnonymous'> {
  /** Its answer says nothing of whether the host is fit for work. */
  readonly isProbe?: boolean | undefined;
  readonly dueAtMs: number;
  readonly onSilent: () => void;
  /** Hosts that have been asked the same already. */
  readonly asked: Set<Host>;
}

/**
 * The token has run out; or users or roles have changed since it was issued, for JWT tokens carry the revision of that
 * store; or there is none, because authentication was switched off when we asked.
 */
const TOKEN_REFUSED = /invalid auth token|revision of auth store is old|user name is empty/;

function tokenIfSwitchedOff(fault: unknown): string {
  if (fault instanceof EtcdFault && /authentication is not enabled/.test(fault.message)) return '';
  throw fault;
}

const links = new WeakMap<Etcd3, Link>();

export function linkOf(client: Etcd3): Link {
  let link = links.get(client);
  if (link === undefined) links.set(client, (link = new Link(client)));
  return link;
}
