/** Certificates that openssl makes for a test: an authority, a server for 127.0.0.1, and a client. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { IOptions } from 'etcd3';

export interface Certificates {
  /** PEM. */
  readonly ca: string;
  readonly key: string;
  readonly cert: string;
  /** The paths of these files. */
  readonly files: { readonly ca: string; readonly key: string; readonly cert: string };
  /** Makes a certificate for a user of etcd, whose name etcd takes from the common name. For the option `credentials` of etcd3. */
  clientOf(user: string): Promise<NonNullable<IOptions['credentials']>>;
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
  await writeFile(
    at('extensions'),
    'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n',
  );
  /** Makes a key and a certificate. The names of two certificates must differ. */
  const sign = async (name: string, commonName: string): Promise<{ key: string; cert: string }> => {
    const files = { key: at(`${name}key.pem`), cert: at(`${name}cert.pem`) };
    const request = at(`${name}request.pem`);
    await openssl('req', ...key, '-subj', `/CN=${commonName}`, '-keyout', files.key, '-out', request);
    const by = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-days', '2'];
    await openssl('x509', '-req', '-in', request, ...by, '-extfile', at('extensions'), '-out', files.cert);
    return files;
  };
  const own = await sign('', '');
  const files = { ca: at('ca.pem'), ...own };
  return {
    ca: await readFile(files.ca, 'utf8'),
    key: await readFile(files.key, 'utf8'),
    cert: await readFile(files.cert, 'utf8'),
    files,
    clientOf: async (user) => {
      const { key: keyFile, cert } = await sign(`${user}-`, user);
      return {
        rootCertificate: await readFile(files.ca),
        privateKey: await readFile(keyFile),
        certChain: await readFile(cert),
      };
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
