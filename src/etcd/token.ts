/**
 * The token that etcd asks for where users have passwords: fetched once for all hosts, and again when it is refused.
 *
 * etcd3 would fetch it without any limit, and keep a connection open for good for each token.
 */
import type { Etcd3, IOptions } from 'etcd3';
import { clock } from '../util/clock.ts';

type Fetch = (credentials: { name: string; password: string }) => Promise<string>;

export class Tokens {
  readonly #auth: { readonly name: string; readonly password: string } | undefined;
  #token: string | undefined;
  /** When the token at hand was last seen to be good. */
  #takenAtMs = Number.NEGATIVE_INFINITY;
  #fetching: Promise<string> | undefined;

  constructor(client: Etcd3) {
    const { auth } = (client as unknown as { options?: IOptions }).options ?? {};
    this.#auth = auth && { name: auth.username, password: auth.password };
  }

  /** The token at hand; undefined where there is none, or none is needed. */
  get current(): string | undefined {
    return this.#token;
  }

  get isMissing(): boolean {
    return this.#auth !== undefined && this.#token === undefined;
  }

  /** Fetches one, unless that is under way. An empty one: authentication is switched off. @throws {EtcdError} */
  async get(fetch: Fetch): Promise<void> {
    if (this.#auth === undefined || this.#token !== undefined) return;
    const fetching = (this.#fetching ??= fetch(this.#auth));
    try {
      this.#token = await fetching;
      this.#takenAtMs = clock.now();
    } finally {
      if (this.#fetching === fetching) this.#fetching = undefined;
    }
  }

  /** etcd answered a call that carried it. */
  taken(token: string | undefined): void {
    if (token !== undefined && this.#token === token) this.#takenAtMs = clock.now();
  }

  /**
   * A call that carried it got no answer, nor did any other since that was sent. A simple token names a place in etcd's raft log,
   * and etcd holds a call back until it has come that far. After a restore from a snapshot it may not come there for
   * days, and refuses nothing meanwhile.
   */
  unanswered(token: string | undefined, sentAtMs: number): void {
    if (this.#takenAtMs < sentAtMs) this.refused(token);
  }

  /** etcd did not take it. */
  refused(token: string | undefined): void {
    if (this.#token === token) this.#token = undefined;
  }
}
