/**
 * Explains errors: what happened, at which endpoints, and what to do. Pure.
 */
import { plainCause } from '../core/plain-cause.ts';
import { ElectionError } from '../index.ts';

export type Failure =
  | 'unreachable'
  | 'silent'
  | 'authentication'
  | 'permission'
  | 'tls'
  | 'not-etcd'
  /** The endpoints belong to different clusters of etcd. */
  | 'clusters'
  /** etcd answers, but its database is full or corrupt. */
  | 'alarm';

export interface Asked {
  readonly endpoints: readonly string[];
  readonly user: string | undefined;
  readonly prefix: string;
}

export class ExplainedError extends Error {
  override readonly name = 'ExplainedError';
}

/** If the time limit of a call passes on the server first, the server may end the call with one of these texts. */
const ENDED_BY_SERVER = /\b(?:Call cancelled|context deadline exceeded)\b/;

/** The text of the error, without gRPC's wrapping and without the link to docs/errors.md, which is for programmers. */
export const plain = (error: unknown): string =>
  plainCause(
    (error instanceof Error ? error.message : String(error))
      .replace(/^\w+: (?=\d+ [A-Z_]+: )/, '')
      .replace(/; see docs\/errors\.md#\w+$/, '')
      .replace(ENDED_BY_SERVER, 'no answer in time'),
  ).slice(0, 300);

/** What to do about a message; undefined if unknown. */
export const hintFor = (message: string): string | undefined =>
  kindOf(message)?.advice.replace('{prefix}', 'PREFIX');

/** Finds the kind of an error from its plain text. */
export const failureOf = (message: string): Failure => kindOf(message)?.failure ?? 'unreachable';

/** Explains an error of etcd, or of the connection to it. @returns undefined if the error is unknown. */
export function explain(error: unknown, asked: Asked): ExplainedError | undefined {
  if (error instanceof ExplainedError) return error;
  const cause = plain(rootOf(error));
  const kind = kindOf(cause);
  if (kind === undefined) return undefined;
  const known: Readonly<Record<string, string>> = {
    endpoints: asked.endpoints.join(', '),
    user: asked.user === undefined ? 'us' : `user ${JSON.stringify(asked.user)}`,
    prefix: asked.prefix === '' ? '""' : asked.prefix,
  };
  // The replacement is a function, because "$&" in a replacement text has a special meaning.
  const fill = (text: string): string =>
    text.replace(/\{(endpoints|user|prefix)\}/g, (_, name: string) => known[name]!);
  return new ExplainedError(`${fill(kind.says)}: ${cause} (${fill(kind.advice)})`, { cause: error });
}

/** Finds etcd's own error. An error of the library repeats the text of its cause. */
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

/** The first kind that matches counts. */
const KINDS: readonly Kind[] = [
  {
    failure: 'authentication',
    pattern: /user name is empty/,
    says: 'etcd at {endpoints} requires a user',
    advice: 'set --user or ETCDCTL_USER',
  },
  {
    failure: 'authentication',
    pattern: /authentication failed|authentication is not enabled|invalid auth token/i,
    says: 'etcd at {endpoints} does not accept {user}',
    advice: 'check --user and --password, or ETCDCTL_USER and ETCDCTL_PASSWORD',
  },
  {
    failure: 'permission',
    pattern: /permission ?denied/i,
    says: 'etcd at {endpoints} refuses {user}',
    advice:
      'a role needs a permission: etcdctl role grant-permission ROLE --prefix=true readwrite {prefix}; for status and watch, read is enough',
  },
  {
    failure: 'tls',
    pattern: /alert (bad certificate|certificate (required|unknown|expired)|unknown ca)/,
    says: 'etcd at {endpoints} ends the TLS connection',
    advice:
      'etcd requires a client certificate, or rejects our client certificate: check --cert and --key, ETCDCTL_CERT and ETCDCTL_KEY',
  },
  {
    failure: 'tls',
    pattern: /verify the first certificate|self.signed certificate|unable to get (local )?issuer/,
    says: 'we do not trust etcd at {endpoints}',
    advice:
      "etcd's certificate is not signed by the authority that we trust: check --cacert and ETCDCTL_CACERT",
  },
  {
    failure: 'tls',
    pattern: /does not match certificate's altnames/,
    says: 'we do not trust etcd at {endpoints}',
    advice: 'its certificate is for other host names: use one of those names in --endpoints',
  },
  {
    failure: 'tls',
    pattern: /certificate (has expired|is not yet valid)/,
    says: 'we do not trust etcd at {endpoints}',
    advice: "renew etcd's certificate, or correct the clock of this machine",
  },
  {
    failure: 'tls',
    pattern: /before secure TLS connection|wrong version number|packet length too long/,
    says: CANNOT_REACH,
    advice: 'if this etcd does not speak TLS, write http:// before the endpoint',
  },
  {
    failure: 'tls',
    pattern: /certificate|TLS|SSL/i,
    says: CANNOT_REACH,
    advice: 'check --cacert, --cert and --key',
  },
  {
    failure: 'not-etcd',
    pattern: /HTTP status|Protocol error|unimplemented|unknown service|invalid content-type/i,
    says: 'the server at {endpoints} does not speak the protocol of etcd',
    advice:
      "check that this is etcd's client URL: --endpoints or ETCDCTL_ENDPOINTS. A proxy in front of etcd must speak gRPC (HTTP/2)",
  },
  {
    // A reset (RST) can arrive before the TLS alert that says why. So the advice names every possible cause.
    failure: 'unreachable',
    pattern: /Failed to connect$|ECONNRESET|EPIPE/,
    says: CANNOT_REACH,
    advice:
      'it closes the connection at once. If this etcd speaks TLS, write https:// before the endpoint and set --cacert; if not, write http://. ' +
      'If it requires our client certificate, check --cert and --key, ETCDCTL_CERT and ETCDCTL_KEY',
  },
  {
    failure: 'unreachable',
    pattern: /HTTP proxy set by http_proxy/,
    says: CANNOT_REACH,
    advice:
      'gRPC uses the proxy that grpc_proxy, https_proxy or http_proxy names: add the hosts of etcd to no_proxy',
  },
  {
    failure: 'unreachable',
    pattern: /cannot resolve/,
    says: CANNOT_REACH,
    advice: 'check DNS and the host name in --endpoints or ETCDCTL_ENDPOINTS',
  },
  {
    failure: 'unreachable',
    pattern: /no connection established|ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|EADDRNOTAVAIL/i,
    says: CANNOT_REACH,
    advice: 'check that etcd runs, and check --endpoints or ETCDCTL_ENDPOINTS',
  },
  {
    failure: 'silent',
    pattern: /no answer (?:within|in time)/,
    says: 'etcd at {endpoints} does not answer',
    advice:
      'it may be stopped, overloaded or without a quorum, or a firewall may drop packets. Run etcd-election doctor, ' +
      'or set a longer --command-timeout',
  },
  {
    failure: 'silent',
    pattern: /etcdserver: (no leader|request timed out|leader changed|server stopped|too many requests)/,
    says: 'etcd at {endpoints} cannot answer now',
    advice: 'it has no quorum, or it is overloaded: run etcd-election doctor',
  },
  {
    failure: 'clusters',
    pattern: /(different|another) etcd clusters?\b|no cluster has the majority/,
    says: 'the endpoints belong to different clusters of etcd',
    advice: 'list the members of one cluster only: --endpoints or ETCDCTL_ENDPOINTS',
  },
  {
    failure: 'alarm',
    pattern: /database space exceeded/,
    says: 'etcd at {endpoints} is full',
    advice: 'compact and defragment it, then disarm the alarm; see docs/operations.md#etcd-is-full',
  },
  {
    failure: 'alarm',
    pattern: /etcdserver: corrupt/,
    says: 'etcd at {endpoints} has an alarm',
    advice: 'run etcdctl alarm list; see docs/operating-etcd.md#alarms',
  },
];
