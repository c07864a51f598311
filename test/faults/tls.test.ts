import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { UnavailableError } from 'etcd-election';
import { startEtcd, type EtcdCluster } from 'etcd-election/dev';
import type { IOptions } from 'etcd3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { poll } from '../support/poll.ts';
import { etcdBinary } from './lab/etcd-binary.ts';
import { everythingSaid, freshName, Replica } from './lab/replica.ts';

// openssl makes the certificates of this run: one authority that etcd trusts, and one that it does not trust.

const run = promisify(execFile);
let folder: string;
/** One etcd requires client certificates, the other does not. */
let etcd: EtcdCluster;
let trusting: EtcdCluster;
type Credentials = NonNullable<IOptions['credentials']>;
let trusted: Credentials;
let stranger: Credentials;

const inFolder = (name: string): string => join(folder, name);

async function authority(name: string): Promise<void> {
  const subject = ['-subj', `/CN=${name}`, '-days', '2'];
  const out = ['-keyout', inFolder(`${name}.key`), '-out', inFolder(`${name}.crt`)];
  await run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...out, ...subject]);
}

async function certificate(name: string, signedBy: string): Promise<void> {
  const request = inFolder(`${name}.csr`);
  const out = ['-keyout', inFolder(`${name}.key`), '-out', request];
  await run('openssl', ['req', '-newkey', 'rsa:2048', '-nodes', ...out, '-subj', `/CN=${name}`]);
  await writeFile(inFolder(`${name}.ext`), 'subjectAltName=IP:127.0.0.1,DNS:localhost\n');
  const by = ['-CA', inFolder(`${signedBy}.crt`), '-CAkey', inFolder(`${signedBy}.key`), '-CAcreateserial'];
  const how = ['-days', '2', '-extfile', inFolder(`${name}.ext`), '-out', inFolder(`${name}.crt`)];
  await run('openssl', ['x509', '-req', '-in', request, ...by, ...how]);
}

const read = (name: string): Promise<Buffer> => readFile(inFolder(name));

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'etcd-election-tls-'));
  await authority('authority');
  await authority('elsewhere');
  await certificate('server', 'authority');
  await certificate('alice', 'authority');
  await certificate('mallory', 'elsewhere');
  const rootCertificate = await read('authority.crt');
  trusted = { rootCertificate, privateKey: await read('alice.key'), certChain: await read('alice.crt') };
  stranger = { rootCertificate, privateKey: await read('mallory.key'), certChain: await read('mallory.crt') };
  const binary = await etcdBinary();
  const ofServer = [`--cert-file=${inFolder('server.crt')}`, `--key-file=${inFolder('server.key')}`];
  const ofClients = [`--trusted-ca-file=${inFolder('authority.crt')}`, '--client-cert-auth=true'];
  etcd = await startEtcd({ binary, extraArgs: [...ofServer, ...ofClients] });
  trusting = await startEtcd({ binary, extraArgs: ofServer });
});
afterAll(async () => {
  await etcd?.stop();
  await trusting?.stop();
  await rm(folder, { recursive: true, force: true });
});

const start = (election: string, credentials: Credentials, at = etcd): Promise<Replica> =>
  Replica.start({
    endpoints: at.endpoints,
    election,
    value: 'someone',
    options: { ttlSeconds: 2 },
    client: { credentials },
  });

const onlyRoot = (): Credentials => ({ rootCertificate: trusted.rootCertificate });

/** Each line of the key file that only its owner may read. */
const secretsOf = ({ privateKey }: Credentials): string[] =>
  (privateKey?.toString() ?? '').split('\n').filter((line) => line !== '' && !line.startsWith('-----'));

describe('over TLS', () => {
  test.each([
    ['on both sides', () => [trusted, etcd] as const],
    ['of etcd alone', () => [onlyRoot(), trusting] as const],
  ])('L3: with certificates %s it leads, loses its network, and leads again', async (_, made) => {
    await using alice = await start(freshName(), ...made());
    alice.stand();
    await poll(() => alice.leads, 5_000).toBe(true);
    for (const link of alice.links) link.cut();
    await poll(() => alice.leads, 5_000).toBe(false);
    await alice.restore();
    await poll(() => alice.leads, 5_000).toBe(true);
    expect(alice.terms).toHaveLength(2);
  });

  test.each([
    ['signed by an unknown authority', () => stranger, 'etcd rejects our client certificate'],
    ['that is missing', onlyRoot, 'etcd rejects our client certificate'],
    [
      'of an etcd that we do not trust',
      async () => ({ ...trusted, rootCertificate: await read('elsewhere.crt') }),
      "etcd's certificate is not signed by an authority that we trust",
    ],
  ])(
    'a certificate %s: the log reports it, retries are slow, no key is logged, and nobody leads',
    async (_, made, reason) => {
      const credentials = await made();
      await using mallory = await start(freshName(), credentials);
      mallory.stand();
      await poll(() => mallory.told('session.unavailable'), 10_000).not.toEqual([]);

      const error: unknown = await mallory.election.leader().catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(UnavailableError);

      const dialled = mallory.links[0]!.connections;
      const patience = new AbortController();
      setTimeout(() => patience.abort(), 3_000);
      await mallory.election.observe({ signal: patience.signal })[Symbol.asyncIterator]().next();
      // It starts with one burst.
      expect(mallory.links[0]!.connections - dialled).toBeLessThanOrEqual(3 + 10);
      expect(mallory.terms).toEqual([]);
      // A restart reads the files again. The rejection must have lasted for one TTL.
      await poll(() => mallory.election.health().healthy, 10_000).toBe(false);
      expect(mallory.election.health().reason).toMatch(/^cannot use etcd: /);
      expect(mallory.election.health().reason).toContain(reason);
      const said = everythingSaid(mallory, error);
      expect(said).not.toContain('PRIVATE KEY');
      expect(said).not.toContain('<Buffer 2d 2d 2d 2d 2d 42 45 47 49 4e'); // -----BEGIN, as inspect shows bytes
      for (const secret of secretsOf(credentials)) expect(said).not.toContain(secret);
    },
  );
});
