/**
 * Keeps the watch requests of one stream. A watch has one request for its whole range, or one for each of its keys.
 * Every read of the range makes requests with new IDs, so late answers to earlier requests are ignored.
 */
import type { IWatchResponse } from 'etcd3';
import { endOf } from './election-keys.ts';
import type { WatchStream } from './watch-stream.ts';
import type { WatchTarget } from './watch-target.ts';

interface Asked {
  readonly target: WatchTarget;
  /** Whether etcd has confirmed the watch. */
  isCreated: boolean;
}

export class WatchRequests {
  readonly #byId = new Map<number, Asked>();
  readonly #ids = new Map<WatchTarget, number[]>();
  #lastId = 0;

  newId(): number {
    return ++this.#lastId;
  }

  /** Watches from the revision after `readAt`, and cancels the earlier requests of this watch. */
  create(stream: WatchStream, target: WatchTarget, readAt: bigint): void {
    const before = this.#forget(target);
    const { keyPrefix } = target;
    const ranges = target.keys()?.map((key) => ({ key: Buffer.from(key) })) ?? [
      { key: Buffer.from(keyPrefix), range_end: endOf(keyPrefix) },
    ];
    const ids = ranges.map((range) => {
      const id = this.newId();
      this.#byId.set(id, { target, isCreated: false });
      stream.create(id, { ...range, start_revision: (readAt + 1n).toString(), fragment: true });
      return id;
    });
    this.#ids.set(target, ids);
    for (const id of before) stream.cancel(id);
  }

  cancel(stream: WatchStream | undefined, target: WatchTarget): void {
    for (const id of this.#forget(target)) stream?.cancel(id);
  }

  #forget(target: WatchTarget): number[] {
    const ids = this.#ids.get(target) ?? [];
    this.#ids.delete(target);
    return ids.filter((id) => this.#byId.delete(id));
  }

  clear(): void {
    this.#byId.clear();
    this.#ids.clear();
  }

  has(id: number): boolean {
    return this.#byId.has(id);
  }

  /** The watch to which a message belongs; undefined if that watch has ended. */
  receive(id: number, { created }: IWatchResponse): WatchTarget | undefined {
    const request = this.#byId.get(id);
    if (request !== undefined && created) request.isCreated = true;
    return request?.target;
  }

  ended(id: number): void {
    this.#byId.delete(id);
  }

  /** Whether etcd has confirmed every request, of one watch or of all. */
  areCreated(target?: WatchTarget): boolean {
    const ids = target === undefined ? [...this.#byId.keys()] : (this.#ids.get(target) ?? []);
    return ids.length > 0 && ids.every((id) => this.#byId.get(id)?.isCreated === true);
  }
}
