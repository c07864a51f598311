/** The bounds of the matrix. A row of the matrix is one way to make a hot loop. It may have bounds of its own. */
import type { Fault } from './faults.ts';
import type { StageOptions } from './stage.ts';

export interface Bounds {
  readonly cpuPercent: number;
  readonly callsPerSecond: number;
  readonly dialsPerSecond: number;
  readonly linesPerMinute: number;
  readonly leadsAgainMs: number;
  /** Growth per minute below this is noise: code that V8 compiled, buffers that it kept, timers in flight. */
  readonly heapKiB: number;
  readonly handles: number;
}

export const bounds: Bounds = {
  cpuPercent: 1,
  callsPerSecond: 2,
  dialsPerSecond: 1,
  linesPerMinute: 6,
  leadsAgainMs: 3_000,
  heapKiB: 768,
  handles: 2,
};

export interface Row {
  readonly group: 'caller' | 'callbacks' | 'etcd' | 'operators' | 'etcd3';
  readonly name: string;
  /** What the process does. Default: the row's name. */
  readonly scenario?: string;
  readonly stage?: StageOptions;
  readonly fault?: Fault;
  readonly credentials?: string;
  /** Methods that the process calls on its own client, without us. */
  readonly userCalls?: readonly string[];
  /** Whether it must lead before the fault appears. */
  readonly leadsFirst?: boolean;
  /** The cause of the failed rounds: the environment (recovery within 3 s) or the caller's own work (growing holds). */
  readonly origin?: 'environment' | 'caller';
  /** How long the row runs before the measurement, in milliseconds, if that is longer than usual. */
  readonly warmUpMs?: number;
  /**
   * Whether a program may do this on purpose, so that it is not held. Reported apart from the rows that must be
   * inside all bounds.
   */
  readonly mayBeMeant?: boolean;
  /** Other bounds for this row, with the reason. */
  readonly except?: Partial<Bounds> & { readonly why: string };
}
