/**
 * Makes errors readable: removes gRPC's wrapping and adds advice. Pure.
 */
import { plainCause } from '../core/plain-cause.ts';

/** Says what went wrong and, if known, what to do. Contains no stack trace. */
export function messageOf(error: unknown): string {
  const message = plain(error);
  const hint = hintFor(message);
  return hint === undefined ? message : `${message} (${hint})`;
}

/** What to do about a message; undefined if unknown. */
export const hintFor = (message: string): string | undefined =>
  HINTS.find(([pattern]) => pattern.test(message))?.[1];

/** One line of the error, without the reference to the page of the library's error, which is for programmers. */
export const plain = (error: unknown): string =>
  plainCause(
    (error instanceof Error ? error.message : String(error))
      .replace(/^\w+: (?=\d+ [A-Z_]+: )/, '')
      .replace(/; see docs\/errors\.md#\w+$/, ''),
  ).slice(0, 300);

const HINTS: readonly (readonly [RegExp, string])[] = [
  [
    /alert (bad certificate|certificate (required|unknown|expired)|unknown ca)/,
    'etcd refuses our client certificate, or wants one; see --cert and --key, ETCDCTL_CERT and ETCDCTL_KEY',
  ],
  [
    /verify the first certificate|self.signed certificate|unable to get (local )?issuer/,
    "etcd's certificate is not signed by the authority that we trust; see --cacert and ETCDCTL_CACERT",
  ],
  [
    /before secure TLS connection|wrong version number|packet length too long/,
    'does this etcd speak TLS? If not: http:// before the endpoint',
  ],
  [
    // A reset does not show which of these is the cause, because it overtakes the TLS alert.
    /No connection established: (Failed to connect$|.*(ECONNRESET|EPIPE))/,
    'it hangs up at once; does this etcd speak TLS? If so: https:// before the endpoint and --cacert; if not: http://. ' +
      'Or it refuses our client certificate, or wants one: --cert and --key, ETCDCTL_CERT and ETCDCTL_KEY',
  ],
  [/No connection established|ECONNREFUSED/, 'is etcd there? See --endpoints and ETCDCTL_ENDPOINTS'],
  [/Deadline exceeded/i, 'etcd did not answer in time; see --command-timeout'],
  [/user name is empty/, 'etcd asks for a user: --user or ETCDCTL_USER'],
  [/authentication failed/, 'wrong user or password'],
  [/permission denied/, 'this user may not read or write these keys: see etcdctl role grant-permission'],
];
