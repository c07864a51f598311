/** What the loop guard knows of one key: see `loopGuards()` of `etcd-election`. */
export interface GuardReport {
  readonly key: string;
  readonly election: string;
  readonly rounds: number;
  readonly heldMs: number;
  readonly holds: number;
  readonly callSites: readonly {
    readonly stack: readonly string[];
    readonly rounds: number;
    readonly heldMs: number;
  }[];
}
