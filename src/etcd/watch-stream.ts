/**
 * A watch stream with our own watch IDs. It translates the IDs that a proxy assigns.
 *
 * etcd takes the ID from the request. `etcd grpc-proxy` assigns its own IDs, and may answer two requests in any
 * order. So behind a proxy only one request is under way at a time. The first answer shows whether there is a proxy.
 */
import type { IWatchCreateRequest, IWatchRequest, IWatchResponse } from 'etcd3';
import type { Host, OpenStream } from './transport.ts';

export type WatchRequest = Omit<IWatchCreateRequest, 'watch_id'>;

export interface WatchStreamListener {
  /** @param id our ID of the watch; negative if etcd refuses a request. */
  onMessage(id: number, message: IWatchResponse): void;
  onLost(reason: string): void;
  /** Called once, when the first answer shows whether there is a proxy. */
  onProxyKnown(isProxied: boolean): void;
}

export class WatchStream {
  readonly #stream: OpenStream<IWatchRequest, IWatchResponse>;
  readonly #listener: WatchStreamListener;
  readonly #waiting = new Map<number, WatchRequest>();
  /** The request that is sent and not answered. Unused once we know that there is no proxy. */
  #asked: { readonly id: number; isUnwanted: boolean } | undefined;
  #isProxied: boolean | undefined;
  /** The proxy's ID for each of ours. */
  readonly #theirs = new Map<number, number>();
  /** Our ID for each of the proxy's. */
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

  /** Undefined before the first answer. */
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

  fail(): void {
    this.#stream.fail();
  }

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
      this.#listener.onProxyKnown(this.#isProxied);
    }
    const id = this.#isProxied === true ? this.#ourIdOf(given) : given;
    if (this.#asked !== undefined && (id === this.#asked.id || given < 0)) this.#answered(given, message);
    if (message.canceled && this.#ours.delete(given)) this.#theirs.delete(id);
    this.#listener.onMessage(id, message);
  }

  /** Translates a proxy's ID into ours. A message with an unknown ID answers our last request. */
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

/** The ID 0 belongs to no watch. In a request it means that etcd chooses the ID. */
const UNKNOWN = 0;
