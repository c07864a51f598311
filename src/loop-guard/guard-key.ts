/**
 * Builds guard keys. The parts are joined as JSON, because with `|` a name such as `a|refusals` could imitate two
 * parts.
 */
import type { Etcd3 } from 'etcd3';

/** Identifies an election in this process. Object and client are left out, because a loop can create new ones. */
export interface ElectionScope {
  readonly endpoints: readonly string[];
  readonly prefix: string;
  readonly election: string;
}

/** Which rounds or calls a guard delays. */
export type Purpose =
  | 'campaign'
  | 'quits'
  | 'announcements'
  | 'refusals'
  | 'failures'
  | 'repeats'
  | 'idle'
  | 'reads'
  | 'iterations';

/** @param what a purpose, or something else that is counted for each election. */
export const keyOf = ({ endpoints, prefix, election }: ElectionScope, what: string): string =>
  JSON.stringify([endpoints, prefix, election, what]);

const known = new WeakMap<Etcd3, readonly string[]>();

export function endpointsOf(client: Etcd3): readonly string[] {
  let endpoints = known.get(client);
  if (endpoints === undefined) {
    const { hosts } = (client as unknown as { options: { hosts?: string | readonly string[] } }).options;
    known.set(client, (endpoints = [...new Set([hosts ?? []].flat())].sort()));
  }
  return endpoints;
}
