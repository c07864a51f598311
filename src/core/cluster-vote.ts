/**
 * Which etcd cluster is ours, from what the configured hosts say. A list may contain a host of another cluster: a member that
 * was replaced and came up alone, or a host of staging.
 */

export interface Pin {
  readonly clusterId: string;
  /** Whether the majority of all configured hosts has said so; else only those that answered did. */
  readonly isByMajority: boolean;
}

/**
 * @param said the cluster ID that each configured host told last; undefined where it never answered.
 * @param pin what was decided before.
 * @param now.isPolling whether hosts are still being asked: then only the majority decides.
 * @param now.isQuiet whether no answer of the pinned cluster has come for a while.
 * @returns undefined while those who answered contradict each other, and no side has the majority.
 */
export function voteOf(
  said: readonly (string | undefined)[],
  pin: Pin | undefined,
  now: { readonly isPolling: boolean; readonly isQuiet: boolean },
): Pin | undefined {
  const ids = new Set(said.filter((id) => id !== undefined));
  const majority = [...ids].find((id) => 2 * said.filter((other) => other === id).length > said.length);
  if (pin === undefined) {
    const [only] = ids;
    if (majority !== undefined) return { clusterId: majority, isByMajority: true };
    return ids.size === 1 && !now.isPolling ? { clusterId: only!, isByMajority: false } : undefined;
  }
  if (majority === undefined) return pin;
  if (majority === pin.clusterId) return { ...pin, isByMajority: true };
  // The cluster was built anew: none of its hosts knows the old one any more.
  const isRebuilt = now.isQuiet && !ids.has(pin.clusterId);
  return pin.isByMajority && !isRebuilt ? pin : { clusterId: majority, isByMajority: true };
}
