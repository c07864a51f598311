/**
 * Keeps the token for etcd clusters with password authentication. One token is fetched for all hosts, and a new one if
 * etcd refuses it. By itself, etcd3 limits neither the time nor the number of fetches. It also leaves a connection open
 * for every token.
 */
import type { Etcd3, IOptions } from 'etcd3';
import { clock } from '../util/clock.ts';
import type { Credentials } from './cluster-answer.ts';

/**
 * How many new tokens one call or renewal may fetch. A new token may be refused too, if users have changed meanwhile or
 * the token has expired. A JWT token may expire early, because etcd rounds its end down to a second.
 */
export const NEW_TOKENS = 2;

type Fetch = (credentials: Credentials) => Promise<string>;

export class Tokens {
  readonly credentials: Credentials | undefined;
  #token: string | undefined;
  /** When etcd last accepted the present token, in milliseconds. */
  #acceptedAtMs = Number.NEGATIVE_INFINITY;
  #fetching: Promise<string> | undefined;

  constructor(client: Etcd3) {
    const { auth } = (client as unknown as { options?: IOptions }).options ?? {};
    this.credentials = auth && { name: auth.username, password: auth.password };
  }

  /** The present token; undefined if there is none, or none is needed. */
  get current(): string | undefined {
    return this.#token;
  }

  get isMissing(): boolean {
    return this.credentials !== undefined && this.#token === undefined;
  }

  /** Fetches a token; an empty one means that authentication is off. @throws {EtcdError} */
  async get(fetch: Fetch): Promise<void> {
    if (this.credentials === undefined || this.#token !== undefined) return;
    const fetching = (this.#fetching ??= fetch(this.credentials));
    try {
      this.#token = await fetching;
      this.#acceptedAtMs = clock.now();
    } finally {
      if (this.#fetching === fetching) this.#fetching = undefined;
    }
  }

  accepted(token: string | undefined): void {
    if (token !== undefined && this.#token === token) this.#acceptedAtMs = clock.now();
  }

  /**
   * A call with this token got no answer. Drops the token if no other call with it got an answer meanwhile. The token
   * itself may be the reason. A simple token contains an index of etcd's raft log. With such a token, etcd answers no
   * call until its log reaches that index. After a restore from a snapshot, that can take days, without any error.
   */
  unanswered(token: string | undefined, sentAtMs: number): void {
    if (this.#acceptedAtMs < sentAtMs) this.refused(token);
  }

  refused(token: string | undefined): void {
    if (this.#token === token) this.#token = undefined;
  }
}
