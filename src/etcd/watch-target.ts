import type { QueueEvent } from '../core/candidate-queue.ts';
import type { EtcdError } from './etcd-error.ts';

/** One range of keys that is watched. */
export interface WatchTarget {
  /** Prefix of the keys that are watched; ends in `/`. */
  readonly electionKeys: string;
  /** Reads the range anew after a break. @returns the revision it was read at. @throws {EtcdError} */
  reload(signal: AbortSignal): Promise<bigint>;
  /** What happened to the keys, in revision order. */
  onEvents(events: readonly QueueEvent[]): void;
  /** The watch works: all that had happened by this moment has been told, up to one probe later. */
  onConfirmed(atMs: number): void;
  /** etcd refuses the range for good: the watch is over. */
  onRefused(fault: EtcdError): void;
}
