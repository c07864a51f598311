/**
 * Errors as people read them: without gRPC's wrapping. Pure.
 */

/** What went wrong and, where we know, what to do: no stack traces for people who typed a command. */
export function messageOf(error: unknown): string {
  const message = plain(error);
  const hint = HINTS.find(([pattern]) => pattern.test(message))?.[1];
  return hint === undefined ? message : `${message} (${hint})`;
}

/** At most one line of it. */
export const plain = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error))
    .replace(/^(?:\w+: )?\d+ [A-Z_]+: /, '')
    .replace(/\. Last error: (?:Error: )?/, ': ')
    .replace(/\.? Resolution note:\s*$/, '')
    .replace(/\s+/g, ' ')
    .trim()
    .slice(0, 300);

const HINTS: readonly (readonly [RegExp, string])[] = [
  [/No connection established|ECONNREFUSED/, 'is etcd there? See --endpoints and ETCDCTL_ENDPOINTS'],
  [/Deadline exceeded/i, 'etcd did not answer in time; see --command-timeout'],
  [/user name is empty/, 'etcd asks for a user: --user or ETCDCTL_USER'],
  [/authentication failed/, 'wrong user or password'],
  [/permission denied/, 'this user may not read or write these keys: see etcdctl role grant-permission'],
];
