/**
 * A watch stream on which every watch has the ID that we chose, also where the other end chooses for itself.
 *
 * etcd takes the ID from the request, and its answer shows it. `etcd grpc-proxy` counts its own, and may answer two
 * requests in any order; so there one request is under way at a time. The first answer on a stream shows which it is.
 */
import type { IWatchCreateRequest, IWatchRequest, IWatchResponse } from 'etcd3';
import type { Host, OpenStream } from './transport.ts';

export type WatchRequest = Omit<IWatchCreateRequest, 'watch_id'>;

export interface WatchStreamListener {
  /** @param id ours; negative in etcd's answer to a request that it refuses. */
  onMessage(id: number, message: IWatchResponse): void;
  onLost(reason: string): void;
  /** Whether the other end takes our IDs; told once. */
  onKind(isProxied: boolean): void;
}

export class WatchStream {
  readonly #stream: OpenStream<IWatchRequest, IWatchResponse>;
  readonly #listener: WatchStreamListener;
  /** Not sent yet, in order. */
  readonly #waiting = new Map<number, WatchRequest>();
  /** Sent and not answered, where only one may be. */
  #asked: { readonly id: number; isUnwanted: boolean } | undefined;
  #isProxied: boolean | undefined;
  readonly #theirs = new Map<number, number>();
  readonly #ours = new Map<number, number>();

  constructor(stream: OpenStream<IWatchRequest, IWatchResponse>, listener: WatchStreamListener) {
    this.#stream = stream;
    this.#listener = listener;
    stream.raw.on('data', (message) => this.#receive(message));
    stream.onLost((reason) => listener.onLost(reason));
  }

  get host(): Host {
    return this.#stream.host;
  }

  /** Whether the other end is a proxy that chooses its own IDs; undefined before its first answer. */
  get isProxied(): boolean | undefined {
    return this.#isProxied;
  }

  create(id: number, request: WatchRequest): void {
    this.#waiting.set(id, request);
    this.#askNext();
  }

  cancel(id: number): void {
    if (this.#waiting.delete(id)) return;
    if (this.#asked?.id === id) this.#asked.isUnwanted = true;
    else this.#cancel(this.#isProxied === true ? this.#theirs.get(id) : id);
  }

  close(): void {
    this.#stream.close();
  }

  /** The host does not answer. */
  fail(): void {
    this.#stream.fail();
  }

  /** The host lags behind. */
  leave(): void {
    this.#stream.leave();
  }

  #cancel(theirs: number | undefined): void {
    if (theirs !== undefined) this.#stream.raw.write({ cancel_request: { watch_id: theirs } });
  }

  #askNext(): void {
    for (const [id, request] of this.#waiting) {
      if (this.#asked !== undefined) return;
      this.#waiting.delete(id);
      if (this.#isProxied !== false) this.#asked = { id, isUnwanted: false };
      this.#stream.raw.write({ create_request: { ...request, watch_id: id } });
    }
  }

  #receive(message: IWatchResponse): void {
    const given = Number(message.watch_id);
    if (this.#isProxied === undefined && message.created && given >= 0) {
      this.#isProxied = given !== this.#asked?.id;
      this.#listener.onKind(this.#isProxied);
    }
    const id = this.#isProxied === true ? this.#ourIdOf(given) : given;
    if (this.#asked !== undefined && (id === this.#asked.id || given < 0)) this.#answered(given, message);
    if (message.canceled && this.#ours.delete(given)) this.#theirs.delete(id);
    this.#listener.onMessage(id, message);
  }

  /** What the proxy says of an ID that we do not know is its answer to what we asked last. */
  #ourIdOf(given: number): number {
    return given < 0 ? given : (this.#ours.get(given) ?? this.#asked?.id ?? UNKNOWN);
  }

  #answered(given: number, { canceled }: IWatchResponse): void {
    const { id, isUnwanted } = this.#asked!;
    this.#asked = undefined;
    if (this.#isProxied === true && given >= 0) {
      this.#theirs.set(id, given);
      this.#ours.set(given, id);
    }
    if (isUnwanted && !canceled) this.#cancel(given);
    this.#askNext();
  }
}

/** Belongs to no watch: etcd takes it for "choose for me", so we never choose it. */
const UNKNOWN = 0;
