import type { GuardReport } from '../../index.ts';
import type { Snapshot } from '../elections.ts';
import type { EvidenceLimits } from '../evidence/evidence.ts';
import type { RunawayReport } from '../evidence/report.ts';
import type { Turning } from './classify.ts';
import type { LedTerm } from './led-terms.ts';

/** The settings of the watchdog, as plain data, because they are posted to the worker. */
export interface WatchSettings {
  readonly stallMs: number;
  readonly runawayMs: number;
  readonly hotMs: number;
  readonly hotUtilization: number;
  readonly pollMs: number;
  readonly profileMs: number;
  readonly cooldownMs: number;
  readonly startupGraceMs: number;
  readonly evidence: EvidenceLimits;
  readonly log: 'text' | 'json' | false;
  readonly webhook: { readonly url: string; readonly headers: Readonly<Record<string, string>> } | undefined;
  readonly onStarved: 'report' | 'kill';
  /** See `RecordOptions.deoptimise`. */
  readonly deoptimise: boolean;
  /** Why no CPU profile can be taken. undefined if one can be taken. */
  readonly whyNoProfile: string | undefined;
  /** Notes for every report, for example that the inspector is open or a permission is missing. */
  readonly notes: readonly string[];
}

export interface ServeSettings {
  /** The number of the server. A process may have several servers, on several ports. */
  readonly server: number;
  readonly host: string;
  readonly port: number;
  readonly token: string | undefined;
  readonly allowedHosts: readonly string[];
  readonly maxSeconds: number;
  /** Whether the main thread has a `metrics` function. */
  readonly hasMetrics: boolean;
}

export type ToWorker =
  | { readonly type: 'serve'; readonly id: number; readonly settings: ServeSettings }
  | { readonly type: 'unserve'; readonly id: number; readonly server: number }
  | { readonly type: 'stop' }
  | ({ readonly type: 'answer' } & Turning)
  | { readonly type: 'elections'; readonly snapshot: Snapshot; readonly led: readonly LedTerm[] }
  /** Loop guards of these elections tripped, because the service loops. `guards`: their most urgent guards. */
  | {
      readonly type: 'tripped';
      readonly elections: readonly string[];
      readonly guards: readonly GuardReport[];
    }
  | { readonly type: 'reply'; readonly id: number; readonly text: string | undefined };

export type ToMain =
  | { readonly type: 'ready' }
  | { readonly type: 'ask' }
  /** `server` says whose `metrics` function to call. */
  | {
      readonly type: 'request';
      readonly id: number;
      readonly what: 'snapshot' | 'metrics';
      readonly server: number;
    }
  | { readonly type: 'runaway'; readonly report: RunawayReport; readonly terms: readonly LedTerm[] }
  | { readonly type: 'notice'; readonly report: RunawayReport }
  | { readonly type: 'ended'; readonly verdict: RunawayReport['verdict']; readonly forMs: number }
  | {
      readonly type: 'served';
      readonly id: number;
      readonly port: number;
      readonly error: string | undefined;
    }
  | { readonly type: 'unserved'; readonly id: number };
