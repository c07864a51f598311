/**
 * One call: which hosts are asked, in which order, and with which token. Each host is asked once at most.
 */
import type { Etcd3 } from 'etcd3';
import { clock } from '../util/clock.ts';
import { EtcdError, isTokenRefused, type GrpcStatus } from './etcd-error.ts';
import { hedged } from './hedge.ts';
import { Host } from './host.ts';
import { limited, type Limits } from './limited.ts';
import { Members, type HostEvent } from './members.ts';
import { Tokens } from './token.ts';
import { askOnce, type Invoke } from './unary.ts';

/** How long a token may take, in milliseconds: etcd works on a password for 50 ms and more. */
const TOKEN_WITHIN_MS = 2_500;

export const leftOf = ({ dueAtMs, signal }: Pick<How, 'dueAtMs' | 'signal'>): Limits => ({
  withinMs: Math.max(0, dueAtMs - clock.now()),
  signal,
});

/** Of a call, or of one that fetches the token for others. */
export interface Asking {
  readonly signal?: AbortSignal | undefined;
  /** Whether another host is asked too while the first does not answer: for what may happen twice without harm. */
  readonly isHedged?: boolean | undefined;
  /** A host to pass over if another one is not a suspect. */
  readonly avoid?: Host | undefined;
  readonly isAnonymous?: boolean | undefined;
  /** The application's own calls are `caller`: they do not dial a host that could not be reached. */
  readonly lane?: string | undefined;
}

interface How extends Pick<Asking, 'signal' | 'avoid' | 'isAnonymous' | 'lane'> {
  /** Its answer says nothing of whether the host is fit for work. */
  readonly isProbe?: boolean | undefined;
  readonly dueAtMs: number;
  readonly onSilent: () => void;
  /** Hosts that have been asked the same already. */
  readonly asked: Set<Host>;
}

export class Calls {
  readonly members: Members;
  readonly #tokens: Tokens;

  constructor(client: Etcd3, addresses: readonly string[], tell: (event: HostEvent) => void) {
    this.#tokens = new Tokens(client);
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

  /** Asks one host; what certainly did not happen goes on to the next one. */
  async #askHosts<T>(what: string, invoke: Invoke<T>, how: How): Promise<T> {
    for (let last: EtcdError | undefined; ;) {
      const host = await this.members.choose(what, leftOf(how), { avoid: how.avoid, except: how.asked });
      if (host === undefined)
        throw last ?? new EtcdError('unavailable', `${what}: all hosts are being asked already`, false);
      how.asked.add(host);
      if (how.lane !== 'caller') host.dialAgain();
      try {
        const reason = how.lane === 'caller' ? host.justUnreachable : undefined;
        if (reason !== undefined) throw new EtcdError('unavailable', `${what}: ${reason}`, false);
        return await this.#askHost(host, what, invoke, how);
      } catch (fault) {
        if (!(fault instanceof EtcdError)) throw fault;
        last = fault;
        const isUndone = fault.kind === 'unavailable' && !fault.mayHaveHappened;
        if (!isUndone || how.asked.size >= this.members.hosts.length || clock.now() >= how.dueAtMs)
          throw fault;
      }
    }
  }

  /** A token that etcd no longer takes is fetched anew, once. What may have happened is not sent again, whatever the token. */
  async #askHost<T>(host: Host, what: string, invoke: Invoke<T>, how: How): Promise<T> {
    const token = how.isAnonymous === true ? undefined : await this.tokenFor(what, how);
    try {
      return await this.#send(host, what, invoke, how, token);
    } catch (fault) {
      const isSure = fault instanceof EtcdError && !fault.mayHaveHappened;
      if (!isSure || token === undefined || this.#tokens.current === token) throw fault;
      return await this.#send(host, what, invoke, how, await this.tokenFor(what, how));
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
        patienceMs: () => this.members.choice.patienceMs(host),
        onSilent: () => {
          this.members.choice.suspect(host, 'no answer');
          onSilent();
        },
        onTimeout: () => {
          // Nothing came on its connection since the call was sent: it may be half open.
          const waitedMs = clock.now() - sentAtMs;
          if (this.members.choice.heardAtMs(host) < sentAtMs && host.ageMs >= waitedMs) host.dropSilent();
          this.#tokens.unanswered(token, sentAtMs);
        },
        onMessage: (message) => this.members.complaint(host, message),
        onFailure: (status) => this.failed(host, status, token),
      });
      this.#tokens.taken(token);
      if (isProbe === true) this.members.choice.heard(host);
      else this.members.choice.answered(host);
      return answer;
    } catch (fault) {
      if (isProbe !== true) await this.members.doubt(host, what, fault);
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
      const token = await this.tokenFor('probe', how);
      const key = Buffer.from('etcd-election');
      await this.#send(
        host,
        'probe',
        (client, options) => client.kv.range({ key, count_only: true }, options),
        how,
        token,
      );
    } catch (fault) {
      if (!(fault instanceof EtcdError && fault.kind === 'refused')) throw fault;
    }
  }

  /** The token at hand, or a new one; undefined where none is needed. @throws {EtcdError} */
  async tokenFor(
    what: string,
    { dueAtMs, signal, lane }: Pick<How, 'dueAtMs' | 'signal' | 'lane'>,
  ): Promise<string | undefined> {
    if (!this.#tokens.isMissing) return this.#tokens.current;
    const fetching = this.#tokens.get((credentials) =>
      this.ask(
        'authenticate',
        (client, options) => client.auth.authenticate(credentials, options),
        clock.now() + TOKEN_WITHIN_MS,
        { isHedged: true, isAnonymous: true, lane },
      ).then(({ token }) => token, tokenIfSwitchedOff),
    );
    await limited(what, fetching, leftOf({ dueAtMs, signal }));
    return this.#tokens.current;
  }

  /** A call or a stream ended so. */
  failed(host: Host, status: GrpcStatus, token: string | undefined): void {
    if (isTokenRefused(status.details)) this.#tokens.refused(token);
    this.members.failed(host, status);
  }
}

function tokenIfSwitchedOff(fault: unknown): string {
  if (fault instanceof EtcdError && /authentication is not enabled/.test(fault.message)) return '';
  throw fault;
}
