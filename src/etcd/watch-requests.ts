/**
 * What was asked of etcd for each watch on one stream: one request for the whole range, or one for each key. IDs change with
 * every read of the range, so late answers to an earlier request find nobody.
 */
import type { IWatchResponse } from 'etcd3';
import { endOf } from './election-keys.ts';
import type { WatchStream } from './watch-stream.ts';
import type { WatchTarget } from './watch-target.ts';

interface Asked {
  readonly target: WatchTarget;
  /** Whether etcd has said yes. */
  isCreated: boolean;
}

export class WatchRequests {
  readonly #byId = new Map<number, Asked>();
  readonly #ids = new Map<WatchTarget, number[]>();
  #lastId = 0;

  newId(): number {
    return ++this.#lastId;
  }

  /** Watches from the revision after `readAt`, and no longer what was watched for it before. */
  create(stream: WatchStream, target: WatchTarget, readAt: bigint): void {
    const before = this.#forget(target);
    const { electionKeys, keys } = target;
    const ranges = keys?.map((key) => ({ key: Buffer.from(key) })) ?? [
      { key: Buffer.from(electionKeys), range_end: endOf(electionKeys) },
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

  /** The stream is gone. */
  clear(): void {
    this.#byId.clear();
    this.#ids.clear();
  }

  has(id: number): boolean {
    return this.#byId.has(id);
  }

  /** The watch that a message belongs to; undefined if that watch is over. */
  receive(id: number, { created }: IWatchResponse): WatchTarget | undefined {
    const request = this.#byId.get(id);
    if (request !== undefined && created) request.isCreated = true;
    return request?.target;
  }

  /** etcd has ended this one. */
  ended(id: number): void {
    this.#byId.delete(id);
  }

  /** Whether etcd has said yes to every request, of one watch or of all. */
  areCreated(target?: WatchTarget): boolean {
    const ids = target === undefined ? [...this.#byId.keys()] : (this.#ids.get(target) ?? []);
    return ids.length > 0 && ids.every((id) => this.#byId.get(id)?.isCreated === true);
  }
}
