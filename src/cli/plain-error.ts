/**
 * Explains errors: what happened, at which endpoints, and what to do. Removes gRPC's wrapping. Pure.
 */
import { plainCause } from '../core/plain-cause.ts';
import { ElectionError } from '../index.ts';

/** Why etcd did not do what was asked. */
export type Failure = 'unreachable' | 'silent' | 'authentication' | 'permission' | 'tls' | 'not-etcd';

/** What was asked, and where. */
export interface Asked {
  readonly endpoints: readonly string[];
  /** Name of etcd's user; undefined if there is none. */
  readonly user: string | undefined;
  /** Part of the key before the name of an election. */
  readonly prefix: string;
}

/** An error of etcd that is explained already. */
export class ExplainedError extends Error {
  override readonly name = 'ExplainedError';
}

/** One line of the error, without the reference to the page of the library's error, which is for programmers. */
export const plain = (error: unknown): string =>
  plainCause(
    (error instanceof Error ? error.message : String(error))
      .replace(/^\w+: (?=\d+ [A-Z_]+: )/, '')
      .replace(/; see docs\/errors\.md#\w+$/, ''),
  ).slice(0, 300);

/** What to do about a message; undefined if unknown. */
export const hintFor = (message: string): string | undefined =>
  kindOf(message)?.advice.replace('{prefix}', 'PREFIX');

/** Finds the kind of an error from its plain text. */
export const failureOf = (message: string): Failure => kindOf(message)?.failure ?? 'unreachable';

/** @returns undefined if the error is not known as one of etcd or of the way there. */
export function explain(error: unknown, asked: Asked): ExplainedError | undefined {
  if (error instanceof ExplainedError) return error;
  const cause = plain(rootOf(error));
  const kind = kindOf(cause);
  if (kind === undefined) return undefined;
  const fill = (text: string): string =>
    text
      .replace('{endpoints}', asked.endpoints.join(', '))
      .replace('{user}', asked.user === undefined ? 'us' : `user ${JSON.stringify(asked.user)}`)
      .replace('{prefix}', asked.prefix === '' ? '""' : asked.prefix);
  return new ExplainedError(`${fill(kind.says)}: ${cause} (${fill(kind.advice)})`, { cause: error });
}

/** The library's errors repeat their cause, which is etcd's own. */
const rootOf = (error: unknown): unknown =>
  error instanceof ElectionError && error.cause instanceof Error ? rootOf(error.cause) : error;

interface Kind {
  readonly failure: Failure;
  readonly pattern: RegExp;
  /** What happened. `{endpoints}` and `{user}` are filled in. */
  readonly says: string;
  /** What to do. `{prefix}` is filled in. */
  readonly advice: string;
}

const kindOf = (message: string): Kind | undefined => KINDS.find(({ pattern }) => pattern.test(message));

const CANNOT_REACH = 'cannot reach etcd at {endpoints}';

/** The first one that matches counts. */
const KINDS: readonly Kind[] = [
  {
    failure: 'authentication',
    pattern: /user name is empty/,
    says: 'etcd at {endpoints} asks for a user',
    advice: 'give --user or ETCDCTL_USER',
  },
  {
    failure: 'authentication',
    pattern: /authentication failed|authentication is not enabled|invalid auth token/i,
    says: 'etcd at {endpoints} does not accept {user}',
    advice: 'wrong user or password? See --user, --password, ETCDCTL_USER and ETCDCTL_PASSWORD',
  },
  {
    failure: 'permission',
    pattern: /permission ?denied/i,
    says: 'etcd at {endpoints} refuses {user}',
    advice:
      'its roles lack a permission: etcdctl role grant-permission ROLE --prefix=true readwrite {prefix}; to look, read is enough',
  },
  {
    failure: 'tls',
    pattern: /alert (bad certificate|certificate (required|unknown|expired)|unknown ca)/,
    says: 'etcd at {endpoints} ends the TLS connection',
    advice:
      'etcd refuses our client certificate, or wants one; see --cert and --key, ETCDCTL_CERT and ETCDCTL_KEY',
  },
  {
    failure: 'tls',
    pattern: /verify the first certificate|self.signed certificate|unable to get (local )?issuer/,
    says: 'we do not trust etcd at {endpoints}',
    advice:
      "etcd's certificate is not signed by the authority that we trust; see --cacert and ETCDCTL_CACERT",
  },
  {
    failure: 'tls',
    pattern: /does not match certificate's altnames/,
    says: 'we do not trust etcd at {endpoints}',
    advice: 'its certificate is for other host names: use one of them in --endpoints',
  },
  {
    failure: 'tls',
    pattern: /certificate (has expired|is not yet valid)/,
    says: 'we do not trust etcd at {endpoints}',
    advice: "renew etcd's certificate, or set the clock of this machine",
  },
  {
    failure: 'tls',
    pattern: /before secure TLS connection|wrong version number|packet length too long/,
    says: CANNOT_REACH,
    advice: 'does this etcd speak TLS? If not: http:// before the endpoint',
  },
  {
    failure: 'tls',
    pattern: /certificate|TLS|SSL/i,
    says: CANNOT_REACH,
    advice: 'see --cacert, --cert and --key',
  },
  {
    failure: 'not-etcd',
    pattern: /HTTP status|Protocol error|unimplemented|unknown service|invalid content-type/i,
    says: 'the server at {endpoints} does not speak the protocol of etcd',
    advice:
      "is this etcd's client URL? See --endpoints and ETCDCTL_ENDPOINTS. A proxy in front of etcd must speak gRPC (HTTP/2)",
  },
  {
    // A reset does not show which of these is the cause, because it overtakes the TLS alert.
    failure: 'unreachable',
    pattern: /Failed to connect$|ECONNRESET|EPIPE/,
    says: CANNOT_REACH,
    advice:
      'it hangs up at once; does this etcd speak TLS? If so: https:// before the endpoint and --cacert; if not: http://. ' +
      'Or it refuses our client certificate, or wants one: --cert and --key, ETCDCTL_CERT and ETCDCTL_KEY',
  },
  {
    failure: 'unreachable',
    pattern: /cannot resolve/,
    says: CANNOT_REACH,
    advice: 'is the host name right, and does DNS answer? See --endpoints and ETCDCTL_ENDPOINTS',
  },
  {
    failure: 'unreachable',
    pattern: /no connection established|ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|EADDRNOTAVAIL/i,
    says: CANNOT_REACH,
    advice: 'is etcd there? See --endpoints and ETCDCTL_ENDPOINTS',
  },
  {
    failure: 'silent',
    pattern: /no answer within/,
    says: 'etcd at {endpoints} does not answer',
    advice:
      'is it stopped, overloaded or without a quorum, or does a firewall drop packets? Run etcd-election doctor. ' +
      '--command-timeout waits longer',
  },
  {
    failure: 'silent',
    pattern: /etcdserver: (no leader|request timed out|leader changed|server stopped|too many requests)/,
    says: 'etcd at {endpoints} cannot answer now',
    advice: 'it has no quorum, or is overloaded: run etcd-election doctor',
  },
  {
    failure: 'unreachable',
    pattern: /database space exceeded/,
    says: 'etcd at {endpoints} is full',
    advice: 'compact and defragment it, then disarm the alarm: docs/operations.md#etcd-is-full',
  },
  {
    failure: 'unreachable',
    pattern: /etcdserver: corrupt/,
    says: 'etcd at {endpoints} has an alarm',
    advice: 'etcdctl alarm list; docs/operating-etcd.md#alarms',
  },
];
