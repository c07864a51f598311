/** Turns error texts of gRPC and OpenSSL into readable text. */

/** Ends the message for a host that does not answer. */
export const NOT_RESOLVED = ', because its name is not resolved';

/** Removes gRPC's wrapping, dates and source files, and puts the text on one line. */
export const plainCause = (text: string): string =>
  text
    .replace(/\b\d{1,2} [A-Z_]{5,}: /g, '')
    .replace(/\. Last error: (?:Error: )?/, ': ')
    .replace(/\.? Resolution note:\s*$/, '')
    .replace(/: null$/, '')
    // If an HTTP proxy does not connect us to etcd, gRPC gives no cause.
    .replace(/No connection established: undefined/, 'the HTTP proxy set by http_proxy does not connect us')
    .replace(/No connection established: (?=.)/, '')
    .replace(/Name resolution failed for target (?:dns:)?(\S+)/, 'cannot resolve $1')
    // gRPC appends how it spent the time.
    .replace(
      /Deadline exceeded after ([\d.]+)s?(,.*)?$/s,
      (_, seconds: string, spent = '') =>
        `no answer within ${roundedSeconds(seconds)} s${/waiting for name resolution/i.test(spent) ? NOT_RESOLVED : ''}`,
    )
    // OpenSSL adds a thread, an error code, and its source file and line. gRPC adds a time.
    .replace(
      /(?:[0-9A-F]+:)?error:[0-9A-F]+:SSL routines:\w*:(?:ssl\w* |tlsv1\w* )?([\w ]+)(?::\S*?:\d+:(?:SSL alert number \d+)?)?/gi,
      'TLS: $1',
    )
    .replace(/\s*\(\d{4}-\d\d-\d\dT[\d:.]+Z\)/g, '')
    .replace(/\s+/g, ' ')
    .trim()
    .slice(0, 500);

const roundedSeconds = (seconds: string): number => Math.round(Number(seconds) * 10) / 10;

const OURS_REJECTED = 'etcd rejects our client certificate, or requires one';
const THEIRS_REJECTED = "etcd's certificate is not signed by an authority that we trust";

const WHOSE: readonly (readonly [RegExp, string])[] = [
  [/alert (bad certificate|certificate (required|unknown|expired)|unknown ca)/, OURS_REJECTED],
  [/certificate has expired/, "etcd's own certificate has expired"],
  [/verify the first certificate|self.signed certificate|unable to get (local )?issuer/, THEIRS_REJECTED],
  [/does not match certificate's altnames/, "etcd's certificate is for another host name"],
];

/** Like `plainCause`, and also says whose certificate a TLS error concerns. */
export function plainCauseWithCertificate(text: string): string {
  const cause = plainCause(text);
  const whose = WHOSE.find(([pattern]) => pattern.test(cause))?.[1];
  return whose === undefined ? cause : `${cause} (${whose})`;
}

/**
 * Whether `plainCauseWithCertificate` found that etcd rejects our client certificate, or that we do not trust etcd's. A client
 * reads its files once, so after a change of a file or of the authority only a restart helps.
 */
export const isCertificateRejected = (cause: string): boolean =>
  cause.includes(`(${OURS_REJECTED})`) || cause.includes(`(${THEIRS_REJECTED})`);
