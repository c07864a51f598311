/**
 * Sends one call: chooses the hosts, their order and the token.
 */
import type { Etcd3 } from 'etcd3';
import { clock } from '../util/clock.ts';
import { askForCluster } from './cluster-answer.ts';
import { EtcdError, isTokenRefused, isUnread, type GrpcStatus } from './etcd-error.ts';
import { hedged } from './hedge.ts';
import { Host, type HostClient } from './host.ts';
import { limited, type TimeLimits } from './limited.ts';
import { Members, type HostEvent } from './members.ts';
import { NEW_TOKENS, Tokens } from './token.ts';
import { askOnce, type Invoke } from './unary.ts';
import type { Use } from './uses.ts';

/** How long fetching a token may take, in milliseconds. etcd needs 50 ms or more to check a password. */
const TOKEN_WITHIN_MS = 2_500;

export const leftOf = ({ dueAtMs, signal }: Pick<How, 'dueAtMs' | 'signal'>): TimeLimits => ({
  withinMs: Math.max(0, dueAtMs - clock.now()),
  signal,
});

/**
 * A group of calls. Each group has its own limit of calls under way.
 * - `lease`: grants, revocations and confirmations.
 * - `queue`: candidate keys, and reads of the library.
 * - `shared`: transactions for several elections.
 * - `settle`: finding out whether a write happened.
 * - `caller`: calls of the application. They dial no more often than gRPC does by itself.
 */
export type Lane = 'lease' | 'queue' | 'shared' | 'settle' | 'caller';

export interface Asking {
  readonly signal?: AbortSignal | undefined;
  /** Whether another host is asked too while the first one does not answer. Only for calls that are safe to repeat. */
  readonly isHedged?: boolean | undefined;
  /** A host to use only if every other host is a suspect. */
  readonly avoid?: Host | undefined;
  readonly isAnonymous?: boolean | undefined;
  /** Default: `queue`. */
  readonly lane?: Lane | undefined;
}

interface How extends Pick<Asking, 'signal' | 'avoid' | 'isAnonymous' | 'lane'> {
  /**
   * Whether the call is a probe. Its answer shows only that the host is alive. The prober decides whether the host
   * stays a suspect.
   */
  readonly isProbe?: boolean | undefined;
  readonly dueAtMs: number;
  readonly onSilent: () => void;
  readonly asked: Set<Host>;
}

export class Calls {
  readonly members: Members;
  readonly #tokens: Tokens;
  readonly #beginUse: () => Use;

  /** @param beginUse keeps the connections open until the returned use ends. */
  constructor(
    client: Etcd3,
    addresses: readonly string[],
    tell: (event: HostEvent) => void,
    beginUse: () => Use,
  ) {
    this.#tokens = new Tokens(client);
    this.#beginUse = beginUse;
    this.members = new Members(
      addresses.map((address) => new Host(client, address)),
      {
        identify: (host, withinMs, signal) => this.#identify(host, clock.now() + withinMs, signal),
        prove: (host, withinMs, signal) => this.#prove(host, clock.now() + withinMs, signal),
      },
      tell,
    );
  }

  /** @throws {EtcdError} */
  ask<T>(what: string, invoke: Invoke<T>, dueAtMs: number, limits: Asking): Promise<T> {
    const asked = new Set<Host>();
    const { avoid, isAnonymous, lane } = limits;
    const ask = (signal: AbortSignal | undefined, onSilent: () => void): Promise<T> =>
      this.#askHosts(what, invoke, { dueAtMs, signal, onSilent, asked, avoid, isAnonymous, lane });
    return limits.isHedged === true && this.members.hosts.length > 1
      ? hedged(ask, { times: this.members.hosts.length, signal: limits.signal })
      : ask(limits.signal, () => undefined);
  }

  /** Asks one host. If the call certainly had no effect there, asks the next one. */
  async #askHosts<T>(what: string, invoke: Invoke<T>, how: How): Promise<T> {
    for (let last: EtcdError | undefined; ;) {
      if (how.asked.size > 0 && clock.now() >= how.dueAtMs)
        throw last ?? new EtcdError('unavailable', `${what}: no time is left for another host`, false);
      const host = await this.members.choose(what, leftOf(how), { avoid: how.avoid, except: how.asked });
      if (host === undefined)
        throw last ?? new EtcdError('unavailable', `${what}: all hosts are being asked already`, false);
      how.asked.add(host);
      if (how.lane === 'caller') host.dialAgainSlowly();
      else this.members.dialAgain(host);
      try {
        const reason = how.lane === 'caller' ? host.justUnreachable : undefined;
        if (reason !== undefined) throw new EtcdError('unavailable', `${what}: ${reason}`, false);
        return await this.#askHost(host, what, invoke, how);
      } catch (fault) {
        if (!(fault instanceof EtcdError)) throw fault;
        last = fault;
        const isUndone = fault.kind === 'unavailable' && !fault.mayHaveHappened;
        if (!isUndone || how.asked.size >= this.members.hosts.length) throw fault;
      }
    }
  }

  /**
   * Asks one host. Repeats the call if etcd refused its token, or if the server refused the call unread. In both cases
   * the call had no effect. A proxy refuses calls unread on a connection that it is closing. The repeated call uses a
   * new connection.
   */
  async #askHost<T>(host: Host, what: string, invoke: Invoke<T>, how: How): Promise<T> {
    let wasUnread = false;
    for (let left = NEW_TOKENS; ;) {
      const token = how.isAnonymous === true ? undefined : await this.tokenFor(what, how);
      try {
        return await this.#send(host, what, invoke, how, token);
      } catch (fault) {
        const isSure = fault instanceof EtcdError && !fault.mayHaveHappened;
        const isReplaced = token !== undefined && this.#tokens.current !== token;
        if (isSure && !wasUnread && isUnread(fault)) wasUnread = true;
        else if (left-- === 0 || !isSure || !isReplaced) throw fault;
      }
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
    const { client } = host;
    try {
      const answer = await askOnce({
        what,
        client,
        invoke,
        token,
        withinMs: Math.max(0, dueAtMs - sentAtMs),
        signal,
        patienceMs: () => this.members.selector.patienceMs(host),
        onSilent: () => {
          this.members.selector.suspect(host, `no answer${host.whySilent}`);
          onSilent();
        },
        onTimeout: () => {
          // If nothing has come from the host since the call was sent, the connection may be half open.
          const waitedMs = clock.now() - sentAtMs;
          if (this.members.selector.heardAtMs(host) < sentAtMs && host.ageMs >= waitedMs)
            this.members.silent(host, client);
          this.#tokens.unanswered(token, sentAtMs);
        },
        whySilent: () => host.whySilent,
        onMessage: (message) => this.members.complaint(host, message),
        onFailure: (status) => this.failed(host, client, status, token),
        telling: (said) => this.members.selector.telling(host, said),
      });
      this.#tokens.accepted(token);
      this.members.answered(host, client, isProbe === true);
      if (isProbe === true) this.members.selector.heard(host);
      else this.members.selector.answered(host);
      return answer;
    } catch (error) {
      const fault = host.unlessDropped(what, error);
      if (isProbe !== true) await this.members.verifyError(host, what, fault);
      throw fault;
    }
  }

  async #identify(host: Host, dueAtMs: number, signal?: AbortSignal): Promise<void> {
    const how = { dueAtMs, signal, onSilent: () => undefined, asked: new Set<Host>(), isProbe: true };
    await askForCluster(
      (invoke) => this.#send(host, 'identify the cluster', invoke, how, undefined),
      this.#tokens.credentials,
      (fault) => fault instanceof EtcdError && fault.kind === 'refused',
    );
  }

  /**
   * Sends a linearizable read, because a member that cannot serve such a read cannot serve us. A refusal by etcd counts
   * as an answer.
   */
  async #prove(host: Host, dueAtMs: number, signal?: AbortSignal): Promise<void> {
    const how = { dueAtMs, signal, onSilent: () => undefined, asked: new Set<Host>(), isProbe: true };
    try {
      const key = Buffer.from('etcd-election');
      const read: Invoke<unknown> = (client, options) => client.kv.range({ key, count_only: true }, options);
      await this.#askHost(host, 'probe', read, how);
    } catch (fault) {
      if (!(fault instanceof EtcdError && fault.kind === 'refused')) throw fault;
    }
  }

  /** The present token, or a new one; undefined if none is needed. @throws {EtcdError} */
  async tokenFor(
    what: string,
    { dueAtMs, signal, lane }: Pick<How, 'dueAtMs' | 'signal' | 'lane'>,
  ): Promise<string | undefined> {
    if (!this.#tokens.isMissing) return this.#tokens.current;
    const fetching = this.#tokens
      .get((credentials) => {
        const use = this.#beginUse(); // the fetch may outlast the call that needs the token
        return this.ask(
          'authenticate',
          (client, options) => client.auth.authenticate(credentials, options),
          clock.now() + TOKEN_WITHIN_MS,
          { isHedged: true, isAnonymous: true, lane },
        )
          .then(({ token }) => token, tokenIfSwitchedOff)
          .finally(use.end);
      })
      .catch((fault: unknown) => {
        // The call that needs the token was not sent, so it had no effect.
        throw fault instanceof EtcdError
          ? new EtcdError(fault.kind, fault.message, false, { cause: fault })
          : fault;
      });
    await limited(what, fetching, leftOf({ dueAtMs, signal }));
    return this.#tokens.current;
  }

  failed(host: Host, client: HostClient, status: GrpcStatus, token: string | undefined): void {
    if (isTokenRefused(status.details)) this.#tokens.refused(token);
    this.members.failed(host, client, status);
  }
}

function tokenIfSwitchedOff(fault: unknown): string {
  if (fault instanceof EtcdError && /authentication is not enabled/.test(fault.message)) return '';
  throw fault;
}
