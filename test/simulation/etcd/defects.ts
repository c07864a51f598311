/** etcd's known defects, each with a switch. The model without any of them behaves as etcd's maintainers intended. */
export interface Defects {
  /**
   * A former leader acknowledges renewals while its disk hangs, because nothing checks that it still leads
   * (before ensureLeadership: 3.4.31, 3.5.13). With a working disk it does so until it steps down, in all
   * versions.
   */
  readonly deposedLeaderRenews: boolean;
  /**
   * #15247: a leader that was stuck asks its successor to revoke leases that were renewed there (before 3.4.31,
   * 3.5.13).
   */
  readonly lateRevokes: boolean;
  /**
   * PR #18428: right after a stop, the check against late revocations and renewals is skipped (from 3.4.34 and
   * 3.5.16 on).
   */
  readonly skipsLeaderCheckAfterThaw: boolean;
  /**
   * #20418: a linearizable read uses a read index that a leader answered before it was replaced (3.4.20 to .41,
   * 3.5.0 to .27).
   */
  readonly staleReads: boolean;
  /** #17529: a watch that is behind a compaction continues as if no event were missing (before 3.4.31, 3.5.13). */
  readonly skipsCompactedEvents: boolean;
  /** #18089: a delete exactly at the compact revision is dropped (before 3.4.34, 3.5.16). */
  readonly compactionDropsDelete: boolean;
  /** #19179: that delete is lost when a member restarts and compacts again (before 3.4.36, 3.5.18). */
  readonly restartDropsDelete: boolean;
  /** #15271: a member that gets a snapshot repeats known events to its watches (before 3.4.25, 3.5.8). */
  readonly snapshotRepeatsEvents: boolean;
  /**
   * #20221: a watch from a future revision forgets that revision when its member gets a snapshot (before 3.4.38,
   * 3.5.22).
   */
  readonly snapshotForgetsFutureStart: boolean;
  /** #15220: progress is confirmed although events are still in transit (before 3.4.25, 3.5.8). */
  readonly progressOutOfStep: boolean;
  /** #22209: a read without values leaves out the leases (from 3.7.0 on). */
  readonly keysOnlyWithoutLease: boolean;
}

export const NO_DEFECTS: Defects = {
  deposedLeaderRenews: false,
  lateRevokes: false,
  skipsLeaderCheckAfterThaw: false,
  staleReads: false,
  skipsCompactedEvents: false,
  compactionDropsDelete: false,
  restartDropsDelete: false,
  snapshotRepeatsEvents: false,
  snapshotForgetsFutureStart: false,
  progressOutOfStep: false,
  keysOnlyWithoutLease: false,
};

/** The first versions without an old defect, in 3.4 and in 3.5. All later lines count as free of it. */
const FIXED: Readonly<
  Record<Exclude<keyof Defects, 'keysOnlyWithoutLease'>, readonly [of34: number, of35: number]>
> = {
  deposedLeaderRenews: [31, 13],
  lateRevokes: [31, 13],
  skipsLeaderCheckAfterThaw: [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
  staleReads: [42, 28],
  skipsCompactedEvents: [31, 13],
  compactionDropsDelete: [34, 16],
  restartDropsDelete: [36, 18],
  snapshotRepeatsEvents: [25, 8],
  snapshotForgetsFutureStart: [38, 22],
  progressOutOfStep: [25, 8],
};

/** The defects of a version, such as "3.4.23". */
export function defectsOf(version: string): Defects {
  const [, minor = 0, patch = 0] = version.split('.').map(Number);
  const isIn = (defect: keyof typeof FIXED): boolean => {
    const [of34, of35] = FIXED[defect];
    return minor === 4 ? patch < of34 : minor === 5 ? patch < of35 : of35 === Number.POSITIVE_INFINITY;
  };
  const names = Object.keys(FIXED) as (keyof typeof FIXED)[];
  const old = Object.fromEntries(names.map((name) => [name, isIn(name)])) as Record<
    keyof typeof FIXED,
    boolean
  >;
  return { ...old, keysOnlyWithoutLease: minor >= 7 };
}
