import type { QueueEvent } from '../core/candidate-queue.ts';
import type { EtcdError } from './etcd-error.ts';

/** One range of keys that is watched, or some keys of it. */
export interface WatchTarget {
  /** Prefix of the keys that are watched; ends in `/`. */
  readonly electionKeys: string;
  /** What is watched after a read of the range: only these keys, or if undefined, all. */
  readonly keys: readonly string[] | undefined;
  /** Reads the range anew. @returns the revision it was read at. @throws {EtcdError} */
  reload(signal: AbortSignal): Promise<bigint>;
  /** What happened to the keys, in revision order for each key. */
  onEvents(events: readonly QueueEvent[]): void;
  /** The watch works: all that had happened by this moment has been told, up to one probe later. */
  onConfirmed(atMs: number): void;
  /** etcd refuses the range for good: the watch is over. */
  onRefused(fault: EtcdError): void;
}

export interface WatchHandle {
  /** Reads the range again, and watches from there what its target says then. */
  readonly readAgain: () => void;
  readonly end: () => void;
}
