/**
 * Decides which etcd cluster is ours, from the cluster IDs that the configured hosts report. One of these hosts may belong to
 * another cluster: a replaced member that started alone, or a staging host.
 */

export interface Pin {
  readonly clusterId: string;
  /** Whether a majority of all configured hosts reports this cluster. If false, all hosts that had answered by then agreed. */
  readonly isByMajority: boolean;
}

/**
 * Decides by these rules:
 * - The first decision needs a majority of all configured hosts. Outside a roll call, it is also enough that all answers agree.
 * - A later majority for another cluster changes the decision.
 * - If a majority made the earlier decision, the old cluster must also be quiet, and no host may report it.
 *
 * @param said the last cluster ID of every configured host; undefined for a host that never answered.
 * @param pin the decision so far.
 * @param now.isRollCall whether all hosts are being asked for their cluster at this moment.
 * @param now.isQuiet whether no answer of the pinned cluster has come for a while.
 * @returns the decision; undefined if there is none yet.
 */
export function voteOf(
  said: readonly (string | undefined)[],
  pin: Pin | undefined,
  now: { readonly isRollCall: boolean; readonly isQuiet: boolean },
): Pin | undefined {
  const ids = new Set(said.filter((id) => id !== undefined));
  const majority = [...ids].find((id) => 2 * said.filter((other) => other === id).length > said.length);
  if (pin === undefined) {
    const [only] = ids;
    if (majority !== undefined) return { clusterId: majority, isByMajority: true };
    return ids.size === 1 && !now.isRollCall ? { clusterId: only!, isByMajority: false } : undefined;
  }
  if (majority === undefined) return pin;
  if (majority === pin.clusterId) return { ...pin, isByMajority: true };
  const isRebuilt = now.isQuiet && !ids.has(pin.clusterId);
  return pin.isByMajority && !isRebuilt ? pin : { clusterId: majority, isByMajority: true };
}
