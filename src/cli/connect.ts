/**
 * Creates the etcd3 client of the command line. The command is a user of the library, so it may import etcd3; inside the
 * library only etcd/ does.
 */
import { readFileSync } from 'node:fs';
import { handleWhen, noop, retry } from 'cockatiel';
import { Etcd3, isRecoverableError, type IOptions } from 'etcd3';
import { UsageError, type Connection } from './arguments.ts';
import { askSecretly } from './ask.ts';
import { safe, type Terminal } from './terminal.ts';

/** @throws {UsageError} if a PEM file cannot be read. */
function connect(connection: Connection): Etcd3 {
  const { endpoints, user, timeoutMs } = connection;
  const options: IOptions = {
    hosts: [...endpoints],
    dialTimeout: timeoutMs,
    faultHandling: {
      // No circuit breaker of etcd3: its message would hide the cause.
      host: () => noop,
      // Tries each host once: a silent host takes no longer than one request may.
      global:
        endpoints.length === 1
          ? noop
          : retry(handleWhen(isRecoverableError), { maxAttempts: endpoints.length - 1 }),
    },
    // A command succeeds or fails within its time limit. It does not wait for etcd to come back.
    defaultCallOptions: ({ isStream }) => (isStream ? {} : { deadline: Date.now() + timeoutMs }),
    ...credentialsOf(connection),
    ...(user !== undefined && {
      auth: {
        username: user.name,
        password: user.password ?? '',
        callOptions: () => ({ deadline: Date.now() + timeoutMs }),
      },
    }),
  };
  return new Etcd3(options);
}

/** Asks for a password if only a user name is given. @throws {UsageError} if there is no terminal to ask on. */
export async function withPassword(connection: Connection, terminal: Terminal): Promise<Connection> {
  const { user } = connection;
  if (user === undefined || user.password !== undefined) return connection;
  if (terminal.stdin.isTTY !== true)
    throw new UsageError('--user: expected NAME:PASSWORD, or the password in ETCDCTL_PASSWORD');
  const password = await askSecretly(terminal, safe`Password of etcd's user ${user.name}: `);
  return { ...connection, user: { name: user.name, password } };
}

/** Runs the work with a client, and always closes the client. */
export async function connected<T>(connection: Connection, work: (client: Etcd3) => Promise<T>): Promise<T> {
  const client = connect(connection);
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

export interface Pem {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

export function pemOf({ cacert, cert, key }: Connection): Pem | undefined {
  if (cacert === undefined && cert === undefined) return undefined;
  return {
    ...(cacert !== undefined && { ca: pem('cacert', cacert) }),
    ...(cert !== undefined && key !== undefined && { cert: pem('cert', cert), key: pem('key', key) }),
  };
}

function credentialsOf(connection: Connection): Pick<IOptions, 'credentials'> {
  if (connection.insecureSkipVerify) skipVerification();
  const files = pemOf(connection);
  if (files === undefined) return {};
  // gRPC makes Node warn of an address in place of a host name (DEP0123). Users of the command cannot change that.
  process.noDeprecation = true;
  const { ca, cert: certChain, key: privateKey } = files;
  // Without a certificate gRPC uses Node's own roots; the type in etcd3 does not allow that.
  const rootCertificate = ca as Buffer;
  return certChain === undefined || privateKey === undefined
    ? { credentials: { rootCertificate } }
    : { credentials: { rootCertificate, certChain, privateKey } };
}

/**
 * Turns verification off for the whole process, because etcd3 does not pass gRPC's option on. The process connects only to
 * etcd, and the command of `run` has its own environment.
 */
function skipVerification(): void {
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
  const emitWarning = process.emitWarning.bind(process) as (...words: unknown[]) => void;
  process.emitWarning = (warning: unknown, ...rest: unknown[]) => {
    if (!String(warning).includes('NODE_TLS_REJECT_UNAUTHORIZED')) emitWarning(warning, ...rest);
  };
}

function pem(flag: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UsageError(`--${flag}: cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
}
