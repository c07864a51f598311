/**
 * How we reach etcd through a client that belongs to somebody else: bounded, once, and without a trace.
 *
 * etcd3 repeats failed calls at once (writes too), counts each failure against the host and, after three,
 * refuses *every* call of the client for five seconds: also the user's, also ours when etcd is long back. So:
 *
 * - no call of ours is repeated behind our back, and none waits longer than its own time limit;
 * - a call that fails reaches etcd3 under a code that it does not count;
 * - streams dial: opening one clears etcd3's count, so each may fail once under its true code, which makes
 *   etcd3 drop the connection and dial anew. That is how a half-open connection is healed.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Etcd3, KVClient } from 'etcd3';
import { EtcdFault, COUNTED_BY_ETCD3, faultOf, type GrpcStatus } from './fault.ts';
import { clock } from '../time.ts';
import { hedged } from './hedge.ts';
import { Elsewhere, HostChoice, SILENT_AFTER_MS } from './host-choice.ts';
import { History, type Header, type Proves } from './history.ts';
import { Slots } from './slots.ts';

type CallOptions = NonNullable<Parameters<KVClient['range']>[1]>;
type Interceptor = NonNullable<CallOptions['interceptors']>[number];
type OngoingCall = ReturnType<Parameters<Interceptor>[1]>;

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
  /** Its host has renewed a lease. */
  renewed(): void;
  /** Ends it in a way that etcd3 does not take for a failure of the host. */
  close(): void;
  /** Ends it because the host keeps silent: etcd3 drops the connection and dials anew. */
  fail(): void;
  /** Ends it because the host lags behind: the next one goes elsewhere, and nobody's connection is dropped. */
  leave(): void;
}

/** FAILED_PRECONDITION: etcd3 neither counts nor repeats what ends so. */
const UNCOUNTED = 9;

/**
 * Calls of one client that may be under way at once. Enough to fill a connection; more of them only wait on a slow
 * event loop until their time is up, and keep renewals waiting with them. (etcd itself refuses some thousands.)
 */
const IN_FLIGHT = 64;

export class Link {
  readonly client: Etcd3;
  /** What etcd has told of its history: a member that has not reached it lags behind. */
  readonly history: History = new History();
  readonly #slots = new Slots(IN_FLIGHT);
  readonly #hosts: HostChoice;
  /** Hosts on which a stream was opened since one last failed there. */
  readonly #mayFail = new Set<string>();
  /** Until the last connection that had to go is dropped: what begins meanwhile must not begin on it. */
  #dropped: Promise<void> | undefined;

  constructor(client: Etcd3) {
    this.client = client;
    const { hosts } = (client as unknown as { options: { hosts?: string | readonly string[] } }).options;
    this.#hosts = new HostChoice(Array.isArray(hosts) ? hosts.length : 1);
  }

  /** Whether the user has closed the client: what is open on it would go on, and renew a lease for nobody. */
  get isClosed(): boolean {
    const { pool } = this.client as unknown as { pool?: { hosts?: readonly { closed?: boolean }[] } };
    return pool?.hosts?.every((host) => host.closed === true) ?? false;
  }

  /**
   * One call, sent once; where it is hedged, once to each host at most.
   *
   * @param what said in errors: what was tried.
   * @throws {EtcdFault}
   */
  async unary<T extends { readonly header: Header }>(
    what: string,
    invoke: (options: CallOptions) => Promise<T>,
    { withinMs, signal, isTimely, isHedged, proves = 'nothing' }: CallLimits,
  ): Promise<T> {
    const calledAtMs = clock.now();
    if (!(await this.#slots.take(isTimely === true ? withinMs : undefined)))
      throw new EtcdFault('unavailable', `${what}: too many calls were under way`, false);
    const dueAtMs = withinMs + (isTimely === true ? calledAtMs : clock.now());
    const ask = (asking: AbortSignal | undefined, onSilent: () => void): Promise<T> =>
      this.#steered((steer) =>
        this.#unaryOnce(what, invoke, dueAtMs - clock.now(), asking, { steer, onSilent }),
      );
    const asked = this.history.known;
    try {
      const answer =
        isHedged === true
          ? await hedged(ask, { times: this.#hosts.hostCount, signal })
          : await ask(signal, () => undefined);
      this.history.told(answer.header, proves, asked);
      return answer;
    } finally {
      this.#slots.give();
    }
  }

  #unaryOnce<T>(
    what: string,
    invoke: (options: CallOptions) => Promise<T>,
    withinMs: number,
    signal: AbortSignal | undefined,
    { steer, onSilent }: { steer: (peer: string) => void; onSilent: () => void },
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let ongoing: OngoingCall | undefined;
      let status: GrpcStatus | undefined;
      let peer = '';
      let over: EtcdFault | undefined;
      const stop = (fault: EtcdFault): void => {
        over = fault;
        if (ongoing !== undefined)
          void onCleanStack(() => ongoing?.cancelWithStatus(UNCOUNTED, fault.message));
        cleanUp();
        reject(fault);
      };
      const abort = (): void => stop(new EtcdFault('aborted', `${what}: aborted`, ongoing !== undefined));
      let isSuspect = false; // once for a call: what its host has said since counts for more than its end
      const suspect = (): void => {
        if (peer === '' || isSuspect) return;
        isSuspect = true;
        this.#hosts.suspect(peer);
      };
      const timer = setTimeout(() => {
        suspect();
        stop(
          new EtcdFault(
            'unavailable',
            `${what}: no answer within ${Math.round(withinMs)} ms`,
            ongoing !== undefined,
          ),
        );
      }, withinMs);
      let silence: NodeJS.Timeout | undefined;
      const listen = (forMs: number): void => {
        silence = setTimeout(() => {
          const patienceMs = this.#hosts.patienceMs(peer);
          if (patienceMs > 0) return listen(patienceMs);
          suspect();
          onSilent();
        }, forMs);
      };
      const cleanUp = (): void => {
        clearTimeout(timer);
        clearTimeout(silence);
        signal?.removeEventListener('abort', abort);
      };
      if (signal?.aborted === true) return abort();
      signal?.addEventListener('abort', abort, { once: true });
      listen(SILENT_AFTER_MS);

      const interceptor: Interceptor = (options, nextCall) => {
        if (over !== undefined) throw over;
        // A second time here is etcd3 repeating the call. Only a token that was refused makes that harmless.
        if (ongoing !== undefined && !/invalid auth token/.test(status?.details ?? ''))
          throw faultOf(what, status, status?.details);
        ongoing = nextCall(options);
        peer = ongoing.getPeer();
        steer(peer);
        return uncounted(ongoing, (received) => {
          status = received;
          this.#hosts.ended(peer, received);
          return true;
        });
      };
      invoke({ interceptors: [interceptor], deadline: Infinity }).then(
        (answer) => {
          cleanUp();
          this.#hosts.answered(peer);
          resolve(answer);
        },
        (error: unknown) => {
          cleanUp();
          reject(error instanceof Elsewhere ? error : (over ?? faultOf(what, status, error)));
        },
      );
    });
  }

  /**
   * Opens a stream. That it is open says nothing about a connection: only an answer on it does.
   *
   * @throws {EtcdFault}
   */
  stream<Request, Response>(
    what: string,
    open: (options: CallOptions) => Promise<RawStream<Request, Response>>,
    { withinMs, signal }: CallLimits,
  ): Promise<OpenStream<Request, Response>> {
    return this.#steered((steer) => {
      let peer = '';
      let isPolite = false;
      const closePolitely = (raw: RawStream<Request, Response>): void => {
        isPolite = true; // what it ends with is our doing, and says nothing of the host
        raw.end(); // no longer writable: etcd3 does not take what follows for a failure of the host
        void onCleanStack(() => raw.cancel());
      };
      const interceptor: Interceptor = (options, nextCall) => {
        const call = nextCall(options);
        peer = call.getPeer();
        steer(peer);
        this.#mayFail.add(peer);
        return uncounted(call, (status) => {
          this.#hosts.ended(peer, status);
          return isPolite || !this.#mayFail.delete(peer);
        });
      };
      const opening = open({ interceptors: [interceptor], deadline: Infinity });
      return new Promise<OpenStream<Request, Response>>((resolve, reject) => {
        let over = false;
        const giveUp = (fault: EtcdFault): void => {
          over = true;
          cleanUp();
          reject(fault);
        };
        const abort = (): void => giveUp(new EtcdFault('aborted', `${what}: aborted`, false));
        const timer = setTimeout(
          () =>
            giveUp(
              new EtcdFault('unavailable', `${what}: no stream within ${Math.round(withinMs)} ms`, false),
            ),
          withinMs,
        );
        const cleanUp = (): void => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', abort);
        };
        if (signal?.aborted === true) abort();
        signal?.addEventListener('abort', abort, { once: true });
        opening.then(
          (raw) => {
            if (over) return closePolitely(raw); // came too late: nobody waits for it
            cleanUp();
            resolve({
              raw,
              renewed: () => this.#hosts.renewed(peer),
              close: () => closePolitely(raw),
              fail: () => {
                this.#hosts.suspect(peer);
                this.#dropped = onCleanStack(() => raw.cancel());
              },
              leave: () => {
                this.#hosts.suspect(peer);
                closePolitely(raw);
              },
            });
          },
          (error: unknown) => {
            cleanUp();
            reject(error instanceof Elsewhere ? error : faultOf(what, undefined, error));
          },
        );
      });
    });
  }

  async #steered<T>(attempt: (steer: (peer: string) => void) => Promise<T>): Promise<T> {
    if (this.#dropped !== undefined) await this.#dropped;
    return await this.#hosts.choose(attempt);
  }
}

/**
 * Somebody has changed users or roles since our token was issued: JWT tokens carry the revision of that store. etcd3
 * fetches a new token only when it is told that the old one is invalid.
 */
const STALE_TOKEN = /revision of auth store is old/;
const UNAUTHENTICATED = 16;

/** Lets `hide` decide, for each failure that etcd3 would count, whether it reaches etcd3 under another code. */
function uncounted(call: OngoingCall, hide: (status: GrpcStatus) => boolean): ReturnType<Interceptor> {
  const start = call.start.bind(call);
  call.start = (metadata, listener) =>
    start(requireLeader(metadata), {
      ...listener,
      onReceiveMetadata: (received) => listener?.onReceiveMetadata?.(received),
      onReceiveMessage: (message: unknown) => listener?.onReceiveMessage?.(message),
      onReceiveStatus: (received) => {
        const status = STALE_TOKEN.test(received.details)
          ? { ...received, code: UNAUTHENTICATED, details: 'etcdserver: invalid auth token' }
          : received;
        const hidden = status.code !== 0 && hide(status) && COUNTED_BY_ETCD3.has(status.code);
        listener?.onReceiveStatus?.(hidden ? { ...status, code: UNCOUNTED } : status);
      },
    });
  return call as ReturnType<Interceptor>; // gRPC types the result as its class; the interface is all it uses
}

/** A member that has lost its leader ends a stream that asks for one; without this it keeps it open and silent. */
function requireLeader<M extends { clone(): M; set(key: string, value: string): void }>(metadata: M): M {
  const own = metadata.clone(); // etcd3 shares one object among all its calls
  own.set('hasleader', 'true');
  return own;
}

/**
 * What follows an answer runs while Node's HTTP/2 is still taking that answer in. On Node 20 (mended in 22.23 and 24.21,
 * nodejs/node#64166) a stream that is reset there can make it send empty frames for ever, until memory is gone.
 */
async function onCleanStack(reset: () => void): Promise<void> {
  await nextTurn();
  try {
    reset();
  } catch {
    // The stream is gone already: nothing is left to reset, and who waits for it may go on.
  }
  await nextTurn(); // etcd3 has heard of it
}

const links = new WeakMap<Etcd3, Link>();

export function linkOf(client: Etcd3): Link {
  let link = links.get(client);
  if (link === undefined) links.set(client, (link = new Link(client)));
  return link;
}
