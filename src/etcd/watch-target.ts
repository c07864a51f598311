import type { QueueEvent } from '../core/candidate-queue.ts';
import type { EtcdError } from './etcd-error.ts';

/** One watch of the shared stream: a range of keys, or some keys of it. */
export interface WatchTarget {
  /** Prefix of the watched keys; ends in `/`. */
  readonly keyPrefix: string;
  /**
   * The keys to watch after a read; undefined for the whole range. This is a method, because a getter would make every
   * such object slow and large.
   */
  keys(): readonly string[] | undefined;
  /** Reads the range again. @returns the revision of the read. @throws {EtcdError} */
  reload(signal: AbortSignal): Promise<bigint>;
  /** Takes the events of the keys, in revision order for each key. */
  onEvents(events: readonly QueueEvent[]): void;
  /** A probe sent at `atMs` was answered. All events that etcd knew at the previous probe have been delivered. */
  onConfirmed(atMs: number): void;
  /** etcd refuses the range for good, and the watch has ended. */
  onRefused(fault: EtcdError): void;
}

export interface WatchHandle {
  /** Reads the range again, and then watches the keys that its target names. */
  readonly readAgain: () => void;
  readonly end: () => void;
}
