/**
 * The client of the command line. Here the command is the user, who brings a client along; in the library only
 * etcd/ imports etcd3.
 */
import { readFileSync } from 'node:fs';
import { Etcd3, type IOptions } from 'etcd3';
import { UsageError, type Connection } from './arguments.ts';

/** @throws {UsageError} if a PEM file cannot be read. */
function connect(connection: Connection): Etcd3 {
  const { endpoints, user, timeoutMs } = connection;
  const options: IOptions = {
    hosts: [...endpoints],
    dialTimeout: timeoutMs,
    // A command answers or says that it cannot: it is no service that waits for better times.
    defaultCallOptions: ({ isStream }) => (isStream ? {} : { deadline: Date.now() + timeoutMs }),
    ...credentialsOf(connection),
    ...(user !== undefined && {
      auth: {
        username: user.name,
        password: user.password,
        callOptions: () => ({ deadline: Date.now() + timeoutMs }),
      },
    }),
  };
  return new Etcd3(options);
}

/** Runs the work with a client, and closes that whatever comes. */
export async function connected<T>(connection: Connection, work: (client: Etcd3) => Promise<T>): Promise<T> {
  const client = connect(connection);
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

export interface Pem {
  readonly ca: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

export function pemOf({ cacert, cert, key }: Connection): Pem | undefined {
  if (cacert === undefined) return undefined;
  const ca = pem('cacert', cacert);
  return cert === undefined || key === undefined
    ? { ca }
    : { ca, cert: pem('cert', cert), key: pem('key', key) };
}

function credentialsOf(connection: Connection): Pick<IOptions, 'credentials'> {
  const files = pemOf(connection);
  if (files === undefined) return {};
  // Node warns of an address in place of a host name (DEP0123): gRPC's doing, and nothing that who types can change.
  process.noDeprecation = true;
  const { ca: rootCertificate, cert: certChain, key: privateKey } = files;
  return certChain === undefined || privateKey === undefined
    ? { credentials: { rootCertificate } }
    : { credentials: { rootCertificate, certChain, privateKey } };
}

function pem(flag: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UsageError(`--${flag}: cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
}
