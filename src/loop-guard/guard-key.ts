/**
 * What a guard is of. Each part stands by itself in the key, so that no name can be made to look like another part
 * (`a|refusals`), and the same endpoints in another order are the same endpoints.
 */
import type { Etcd3 } from 'etcd3';

/** An election as this process tells it apart from others: not by object or client, which a loop can make anew. */
export interface ElectionScope {
  readonly endpoints: readonly string[];
  readonly prefix: string;
  readonly election: string;
}

/** Which of the caller's loops a guard holds. */
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

/** @param what a purpose, or whatever else is counted by election. */
export const keyOf = ({ endpoints, prefix, election }: ElectionScope, what: string): string =>
  JSON.stringify([endpoints, prefix, election, what]);

/** The endpoints that a client was made with: sorted, each once. */
export function endpointsOf(client: Etcd3): readonly string[] {
  const { hosts } = (client as unknown as { options: { hosts?: string | readonly string[] } }).options;
  return [...new Set([hosts ?? []].flat())].sort();
}
