/** Certificates that openssl makes for a test: an authority, a server for 127.0.0.1, and a client. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface Certificates {
  /** PEM. */
  readonly ca: string;
  readonly key: string;
  readonly cert: string;
  /** The paths of these files. */
  readonly files: { readonly ca: string; readonly key: string; readonly cert: string };
  remove(): Promise<void>;
}

export async function certificates(): Promise<Certificates> {
  const folder = await mkdtemp(join(tmpdir(), 'etcd-election-certificates-'));
  const at = (name: string): string => join(folder, name);
  const openssl = (...args: string[]): Promise<unknown> => promisify(execFile)('openssl', args);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await openssl(
    'req',
    '-x509',
    ...key,
    '-subj',
    '/CN=test authority',
    '-days',
    '2',
    '-keyout',
    at('ca.key'),
    '-out',
    at('ca.pem'),
  );
  await openssl('req', ...key, '-subj', '/CN=', '-keyout', at('key.pem'), '-out', at('request.pem'));
  await writeFile(
    at('extensions'),
    'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n',
  );
  await openssl(
    'x509',
    '-req',
    '-in',
    at('request.pem'),
    '-CA',
    at('ca.pem'),
    '-CAkey',
    at('ca.key'),
    '-CAcreateserial',
    '-days',
    '2',
    '-extfile',
    at('extensions'),
    '-out',
    at('cert.pem'),
  );
  const files = { ca: at('ca.pem'), key: at('key.pem'), cert: at('cert.pem') };
  return {
    ca: await readFile(files.ca, 'utf8'),
    key: await readFile(files.key, 'utf8'),
    cert: await readFile(files.cert, 'utf8'),
    files,
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
