/** How a version answers where releases differ on purpose. Defects are in `defects.ts`. */
export interface Dialect {
  /** A read takes an empty `range_end` for "no end" (before 3.7). */
  readonly emptyEndIsNoEnd: boolean;
  /** A transaction is checked in the order of its operations (from 3.6 on). Before, all puts were checked before all reads. */
  readonly checksInOrder: boolean;
  /** A put in a transaction is refused for its lease before it is refused for its missing key (from 3.7 on). */
  readonly checksLeaseFirst: boolean;
  /** A leader renews a lease that it knows without waiting until it has applied what is committed (from 3.7 on). */
  readonly renewsAtOnce: boolean;
}

/** @param version such as "3.5.16". */
export function dialectOf(version: string): Dialect {
  const minor = Number(version.split('.')[1]);
  return {
    emptyEndIsNoEnd: minor < 7,
    checksInOrder: minor >= 6,
    checksLeaseFirst: minor >= 7,
    renewsAtOnce: minor >= 7,
  };
}
