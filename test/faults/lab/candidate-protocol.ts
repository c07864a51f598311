/** What the lab and a candidate tell each other: its plan at the start, then orders and news. */

export interface CandidatePlan {
  readonly name: string;
  /** `ours`, or etcd3's own `Election` for comparison. */
  readonly kind: 'ours' | 'etcd3';
  readonly endpoints: readonly string[];
  readonly election: string;
  readonly ttlSeconds: number;
  /** File for the history. */
  readonly historyFile: string;
  /** File for the log lines. */
  readonly logFile: string;
  /** Prefix of the keys for fenced appends. */
  readonly logPrefix: string;
  /** The HTTP resource that checks tokens. Without one, no HTTP append is sent. */
  readonly resource: string | undefined;
  /** Where the list is kept. */
  readonly listAt: string;
  /** Whether to also keep the list of the resource; see jepsen.ts. */
  readonly list: { readonly fenced: boolean; readonly checked: boolean } | undefined;
  readonly auth?: { readonly username: string; readonly password: string } | undefined;
  /** How long the work takes to stop when its term ends, in milliseconds. */
  readonly stopsAfterMs: number;
  /** One of this many appends to etcd learns its outcome; 0: none. */
  readonly onceEach: number;
  /** The first number of its appends; larger in each later life. */
  readonly countsFrom?: number;
}

export type Order =
  | { readonly do: 'block'; readonly forMs: number }
  | { readonly do: 'litter'; readonly forMs: number }
  | { readonly do: 'step-down' }
  | { readonly do: 'resign' }
  | { readonly do: 'campaign' }
  | { readonly do: 'report' };

/** What a candidate reports to its parent. */
export type News =
  | { readonly says: 'elected'; readonly token: string; readonly key: string; readonly leaseId: string }
  | { readonly says: 'acting'; readonly token: string }
  | { readonly says: 'ended'; readonly token: string; readonly reason: string }
  | {
      readonly says: 'report';
      readonly status: string;
      readonly position: number | undefined;
      readonly memoryMb: number;
      readonly wallMs: number;
    }
  | { readonly says: 'left' };
