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
import { HostChoice } from './host-choice.ts';
import { History, type Header, type Proves } from './history.ts';
import { callOptions, type CallOptions } from './intercept.ts';
import { limited } from './limits.ts';
import { Slots } from './slots.ts';
import { Tokens } from './token.ts';
import { askOnce, type Invoke } from './unary.ts';

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
  /** Whether it has places of its own: for what a lease lives by, however many other calls wait. */
  readonly isVital?: boolean | undefined;
  /** A host to pass over if another one is not a suspect. */
  readonly avoid?: Host | undefined;
}

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
 * Calls of one client that may be under way at once. Enough to fill a connection; more of them only wait on a slow
 * event loop until their time is up, and keep renewals waiting with them. (etcd itself refuses some thousands.)
 */
const IN_FLIGHT = 64;

/** The same for what a lease lives by: each session makes one such call at a time. */
const VITAL_IN_FLIGHT = 16;

/** How long a token may take, in milliseconds: etcd works on a password for 50 ms and more. */
const TOKEN_WITHIN_MS = 2_500;

/** How often we look whether our connections are still needed, in milliseconds. */
const TEND_EVERY_MS = 1_000;

/** Connections that nothing needs are closed after so long, in milliseconds: somebody may read once a second. */
const IDLE_FOR_MS = 5_000;

/** gRPC waits longer and longer before it dials again; a new client dials at once. No younger one is replaced, in milliseconds. */
const DIAL_AGAIN_AFTER_MS = 250;

/** gRPC has no connection, and waits before it dials again. */
const NOT_CONNECTED = /^No connection established|^Name resolution failed/;

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
  readonly #users: Etcd3;
  readonly #hosts: readonly Host[];
  readonly #choice: HostChoice<Host>;
  readonly #slots = new Slots(IN_FLIGHT);
  readonly #vitalSlots = new Slots(VITAL_IN_FLIGHT);
  readonly #tokens: Tokens;
  /** Calls under way and open streams. */
  readonly #uses = new Set<Use>();
  #idleSinceMs = 0;
  /** To be closed as soon as nothing uses them, not only after a while. */
  #isResting = false;
  #tending: NodeJS.Timeout | undefined;

  constructor(client: Etcd3) {
    this.#users = client;
    const addresses = addressesOf(client);
    this.endpoints = addresses.map((address) => address.replace(/\/\/[^@/]*@/, '//'));
    this.#hosts = addresses.map((address) => new Host(client, address));
    this.#choice = new HostChoice(this.#hosts);
    this.#tokens = new Tokens(client);
  }

  /** Whether the user has closed the client: what is open would go on, and renew a lease for nobody. */
  get isClosed(): boolean {
    return poolOf(this.#users)?.hosts.every(({ closed }) => closed) ?? false;
  }

  /**
   * One call, sent once; where it is hedged, once to each host at most.
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
    const { withinMs, isTimely, isVital, proves = 'nothing' } = limits;
    const slots = isVital === true ? this.#vitalSlots : this.#slots;
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
      ? hedged(ask, { times: this.#hosts.length, signal: limits.signal })
      : ask(limits.signal, () => undefined);
  }

  /** Asks one host; what was never sent goes on to the next one. */
  async #askHosts<T>(what: string, invoke: Invoke<T>, how: How): Promise<T> {
    for (;;) {
      const host = this.#choice.pick({ avoid: how.avoid, except: how.asked });
      if (host === undefined)
        throw new EtcdFault('unavailable', `${what}: all hosts are being asked already`, false);
      how.asked.add(host);
      try {
        return await this.#askHost(host, what, invoke, how);
      } catch (fault) {
        const isUnsent = fault instanceof EtcdFault && fault.kind === 'unavailable' && !fault.mayHaveHappened;
        if (!isUnsent || how.asked.size >= this.#hosts.length || clock.now() >= how.dueAtMs) throw fault;
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
    { dueAtMs, signal, onSilent }: How,
    token: string | undefined,
  ): Promise<T> {
    const sentAtMs = clock.now();
    const answer = await askOnce({
      what,
      client: host.client,
      invoke,
      token,
      withinMs: Math.max(0, dueAtMs - sentAtMs),
      signal,
      patienceMs: () => this.#choice.patienceMs(host),
      onSilent: () => {
        this.#choice.suspect(host);
        onSilent();
      },
      onTimeout: () => {
        // Nothing came on its connection since the call was sent: it may be half open.
        const waitedMs = clock.now() - sentAtMs;
        if (this.#choice.answeredAtMs(host) < sentAtMs && host.ageMs >= waitedMs) host.drop();
      },
      onFailure: (status) => this.#failed(host, status, token),
    });
    this.#choice.answered(host);
    return answer;
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
    await limited(what, fetching, { withinMs: Math.max(0, dueAtMs - clock.now()), signal });
    return this.#tokens.current;
  }

  #failed(host: Host, status: GrpcStatus, token: string | undefined): void {
    if (TOKEN_REFUSED.test(status.details)) this.#tokens.refused(token);
    this.#choice.ended(host, status);
    if (NOT_CONNECTED.test(status.details) && host.ageMs >= DIAL_AGAIN_AFTER_MS) host.drop();
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
      const host = this.#choice.pick({ avoid })!;
      let isOver = false;
      const options = callOptions({
        token,
        onCall: () => undefined,
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
        { withinMs: Math.max(0, dueAtMs - clock.now()), signal },
        end,
      );
      raw.on('error', () => use.end());
      raw.on('end', () => use.end());
      use.clientClosed = () => end(raw);
      return {
        raw,
        host,
        renewed: () => this.#choice.renewed(host),
        close: () => end(raw),
        fail: () => {
          this.#choice.suspect(host);
          end(raw);
          host.drop();
        },
        leave: () => {
          this.#choice.suspect(host);
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

  /** Keeps the connections until it ends. @throws {EtcdFault} where the user has closed the client. */
  #use(what: string): Use {
    if (this.isClosed) throw new EtcdFault('client-closed', `${what}: the client was already closed`, false);
    const use: Use = {
      clientClosed: () => undefined,
      end: () => {
        this.#uses.delete(use);
        if (this.#uses.size > 0) return;
        this.#idleSinceMs = clock.now();
        if (this.#isResting) this.#drop();
      },
    };
    this.#uses.add(use);
    if (this.#tending === undefined) this.#tend();
    return use;
  }

  /** An election is closed: our connections are too, as soon as nothing uses them. */
  rest(): void {
    this.#isResting = true;
    if (this.#uses.size === 0) this.#drop();
  }

  /** Closes our connections when the user has closed the client, and when nothing has used them for a while. */
  #tend(): void {
    this.#tending = setTimeout(() => {
      const isIdle = this.#uses.size === 0 && clock.now() - this.#idleSinceMs >= IDLE_FOR_MS;
      if (!isIdle && !this.isClosed) return this.#tend();
      for (const use of this.#uses) use.clientClosed();
      this.#drop();
    }, TEND_EVERY_MS).unref();
  }

  #drop(): void {
    clearTimeout(this.#tending);
    this.#tending = undefined;
    this.#isResting = false;
    for (const host of this.#hosts) host.drop();
  }
}

interface Use {
  /** Ends what would go on by itself. */
  clientClosed: () => void;
  readonly end: () => void;
}

/** Of a call, or of one that fetches the token for others. */
type Asking = Partial<CallLimits> & { readonly isAnonymous?: boolean | undefined };

interface How extends Pick<Asking, 'signal' | 'avoid' | 'isAnonymous'> {
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
