/**
 * Downloads a CPU profile from a service that serves etcd-election/diagnostics.
 */
import { get, type IncomingMessage } from 'node:http';
import { get as getSecurely } from 'node:https';
import { parseCpuProfile, type CpuProfile } from 'etcd-election/diagnostics';
import { plain } from './plain-error.ts';

/** How much longer than the recording the answer may take. */
const PATIENCE_SECONDS = 15;
const MOST_BYTES = 512 * 1024 * 1024;

/** @throws an error that names the address, and says what to do if we know it. If the signal aborts, its reason. */
export async function downloadProfile(
  url: URL,
  token: string | undefined,
  seconds: number,
  signal: AbortSignal,
): Promise<CpuProfile> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const limit = AbortSignal.timeout((seconds + PATIENCE_SECONDS) * 1000);
  const options = { headers, agent: false, signal: AbortSignal.any([signal, limit]) } as const;
  let response: IncomingMessage;
  let body: string;
  try {
    response = await new Promise<IncomingMessage>((resolve, reject) => {
      (url.protocol === 'https:' ? getSecurely : get)(url, options, resolve).on('error', reject);
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > MOST_BYTES) throw new Error('the answer is larger than 512 MiB, so it is not a profile');
      chunks.push(chunk);
    }
    body = Buffer.concat(chunks).toString();
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    const why = limit.aborted ? 'it did not answer in time' : plain(error);
    throw new Error(`cannot record ${url.origin}: ${why}${adviceFor(why)}`, { cause: error });
  }
  if (response.statusCode === 200) return parsed(url, body);
  const said = body.trim().slice(0, 300);
  const advice = ADVICE[response.statusCode ?? 0];
  throw new Error(
    `${url.origin} answered ${response.statusCode}: ${said}${advice === undefined ? '' : ` (${advice})`}`,
  );
}

function parsed(url: URL, body: string): CpuProfile {
  try {
    return parseCpuProfile(body);
  } catch (error) {
    throw new Error(`${url.origin} answered, but not with a profile (${NOT_OURS})`, { cause: error });
  }
}

const NOT_OURS = 'check that the service calls serveDiagnostics() on this port';

const ADVICE: Readonly<Record<number, string | undefined>> = {
  401: 'check --token and ETCD_ELECTION_DIAGNOSTICS_TOKEN',
  403: 'check the option allowedHosts of serveDiagnostics()',
  404: NOT_OURS,
};

const CAUSES: readonly (readonly [RegExp, string])[] = [
  [/ECONNREFUSED/, NOT_OURS],
  [/ENOTFOUND|EAI_AGAIN/, 'check the host name'],
  [
    /before secure TLS connection|wrong version number|packet length too long/,
    'if the service does not speak TLS, use http://',
  ],
  [/socket hang up|ECONNRESET/, 'the service closes the connection at once; if it speaks TLS, use https://'],
  [
    /certificate/,
    "set NODE_EXTRA_CA_CERTS to a file with the certificate of the authority that signed the service's certificate",
  ],
  [/Parse Error|Expected HTTP/, NOT_OURS],
];

function adviceFor(why: string): string {
  const advice = CAUSES.find(([pattern]) => pattern.test(why))?.[1];
  return advice === undefined ? '' : ` (${advice})`;
}
