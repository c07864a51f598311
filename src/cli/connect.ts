/**
 * Creates the etcd3 client of a command.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { handleWhen, noop, retry } from 'cockatiel';
import { Etcd3, isRecoverableError, type IOptions } from 'etcd3';
import { askForCluster } from '../etcd/cluster-answer.ts';
import { writeLine } from '../logging/event-lines.ts';
import { excludeLoopbackFromProxy } from '../util/no-proxy.ts';
import { UsageError, type CommandLine, type Connection } from './arguments.ts';
import { askSecretly } from './ask.ts';
import { clusterLogger } from './narrator.ts';
import { endpointsOfOneCluster } from './one-cluster.ts';
import { explain, failureOf, plain, type Asked } from './plain-error.ts';
import { safe, type Terminal } from './terminal.ts';

/** Called with every error after which another host, or another try, may help. */
export type OnRetry = (error: Error) => void;

const toldIfRecoverable =
  (onRetry: OnRetry) =>
  (error: Error): boolean => {
    if (!isRecoverableError(error)) return false;
    onRetry(error);
    return true;
  };

/** @throws {UsageError} if a PEM file cannot be read. */
function connect(connection: Connection, onRetry: OnRetry = () => undefined): Etcd3 {
  const { endpoints, user, timeoutMs } = connection;
  excludeLoopbackFromProxy(endpoints);
  const options: IOptions = {
    hosts: [...endpoints],
    dialTimeout: timeoutMs,
    faultHandling: {
      // etcd3's circuit breaker is off, because its message would hide the cause.
      host: () => noop,
      // Tries every host once.
      global:
        endpoints.length === 1
          ? noop
          : retry(handleWhen(toldIfRecoverable(onRetry)), { maxAttempts: endpoints.length - 1 }),
    },
    // Every request except a stream has a limit. Otherwise a request could wait for etcd for ever.
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

/**
 * Asks for a password if only a user name is given.
 *
 * @throws {UsageError} if there is no terminal to ask on.
 */
export async function withPassword(connection: Connection, terminal: Terminal): Promise<Connection> {
  const { user } = connection;
  if (user === undefined || user.password !== undefined) return connection;
  if (terminal.stdin.isTTY !== true)
    throw new UsageError('--user: expected NAME:PASSWORD, or the password in ETCDCTL_PASSWORD');
  const password = await askSecretly(terminal, safe`Password of etcd's user ${user.name}: `);
  return { ...connection, user: { name: user.name, password } };
}

export const askedBy = ({ connection, prefix }: CommandLine): Asked => ({
  endpoints: connection.endpoints,
  user: connection.user?.name,
  prefix,
});

/**
 * Runs the work of a command with a client for all endpoints. Asks for a missing password, and explains the errors of etcd.
 * The work must use the library, which ignores the answers of other clusters. Other work needs {@link withCluster}.
 *
 * @throws {ExplainedError} if etcd refuses or cannot be reached.
 */
export const withEtcd = <T>(
  line: CommandLine,
  terminal: Terminal,
  work: (client: Etcd3) => Promise<T>,
): Promise<T> => explained(line, terminal, (connection) => connected(connection, work));

/**
 * Runs the work like {@link withEtcd}, with a client for the endpoints of one cluster. Names the endpoints of other
 * clusters on standard error.
 *
 * @param work gets the endpoints of that cluster as its second argument.
 * @throws {ExplainedError} also if the endpoints belong to different clusters, and none has the majority.
 */
export const withCluster = <T>(
  line: CommandLine,
  terminal: Terminal,
  work: (client: Etcd3, endpoints: readonly string[]) => Promise<T>,
  onRetry?: OnRetry,
): Promise<T> =>
  explained(line, terminal, async (connection) => {
    const { ours, clusterId, foreign } = await endpointsOfOneCluster(
      connection.endpoints,
      (endpoint, ...hooks) => clusterIdAt({ ...connection, endpoints: [endpoint] }, ...hooks),
    );
    const logger = clusterLogger(terminal);
    for (const { endpoint: host, clusterId: theirs } of foreign)
      writeLine({ type: 'host.foreign', host, clusterId: theirs, ourClusterId: clusterId }, logger, 0);
    return await connected({ ...connection, endpoints: ours }, (client) => work(client, ours), onRetry);
  });

async function explained<T>(
  line: CommandLine,
  terminal: Terminal,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = await withPassword(line.connection, terminal);
  try {
    return await work(connection);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw explain(error, askedBy(line)) ?? error;
  }
}

export async function connected<T>(
  connection: Connection,
  work: (client: Etcd3) => Promise<T>,
  onRetry?: OnRetry,
): Promise<T> {
  try {
    return await withClient(connection, work, onRetry);
  } catch (error) {
    if (connection.user === undefined || !isAuthenticationOff(error)) throw error;
    // Tries again without the user, as etcdctl does. etcd refused the login, so no request of the work was carried out.
    return await withClient({ ...connection, user: undefined }, work, onRetry);
  }
}

/**
 * Asks an endpoint for its cluster. If etcd refuses the status, sends another call, which needs no permission.
 *
 * @param onRefused called before that second call, which may be slow because etcd has to check a password.
 * @returns the ID in decimal; undefined if the answer has none.
 */
export async function clusterIdAt(
  connection: Connection,
  signal?: AbortSignal,
  onRefused: () => void = () => undefined,
): Promise<string | undefined> {
  const { user } = connection;
  return await withClient({ ...connection, user: undefined }, async (client) => {
    signal?.addEventListener('abort', () => client.close(), { once: true });
    const isRefused = (error: unknown): boolean =>
      ['authentication', 'permission'].includes(failureOf(plain(error)));
    const { header } = await askForCluster(
      (invoke) => invoke(client, {}),
      user && { name: user.name, password: user.password ?? '' },
      (error) => {
        if (!isRefused(error)) return false;
        onRefused();
        return true;
      },
    );
    const id = header?.cluster_id;
    return id === '0' ? undefined : id;
  });
}

export const isAuthenticationOff = (error: unknown): boolean =>
  /authentication is not enabled/.test(String(error));

async function withClient<T>(
  connection: Connection,
  work: (client: Etcd3) => Promise<T>,
  onRetry?: OnRetry,
): Promise<T> {
  const client = connect(connection, onRetry);
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

/** @throws {UsageError} if a file cannot be read, or does not contain what its flag expects. */
export function pemOf({ cacert, cert, key }: Connection): Pem | undefined {
  if (cacert === undefined && cert === undefined) return undefined;
  const pems = {
    ...(cacert !== undefined && { ca: certificate('cacert', cacert) }),
    ...(cert !== undefined && key !== undefined && { cert: certificate('cert', cert), key: pem('key', key) }),
  };
  try {
    createSecureContext(pems);
  } catch (error) {
    const isPair = /key values mismatch/.test(String(error));
    throw new UsageError(
      isPair
        ? `--key: ${key} is not the key of ${cert}`
        : `--key: ${key} has no key in PEM format, or the key needs a passphrase`,
      { cause: error },
    );
  }
  return pems;
}

function credentialsOf(connection: Connection): Pick<IOptions, 'credentials'> {
  if (connection.insecureSkipVerify) skipVerification();
  // Node warns (DEP0123) because gRPC passes an IP address as a host name. Users of the command cannot change that.
  if (connection.endpoints.some((endpoint) => endpoint.startsWith('https:'))) process.noDeprecation = true;
  const files = pemOf(connection);
  if (files === undefined) return {};
  const { ca, cert: certChain, key: privateKey } = files;
  // Without a root certificate gRPC uses Node's own roots, but the type in etcd3 does not allow that.
  const rootCertificate = ca as Buffer;
  return certChain === undefined || privateKey === undefined
    ? { credentials: { rootCertificate } }
    : { credentials: { rootCertificate, certChain, privateKey } };
}

/**
 * Turns verification off for the whole process, because etcd3 does not pass gRPC's option on. This affects only
 * connections to etcd: the process opens no others.
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
    const why = plain(error).replace(/^[A-Z]+: |, \w+( '.*')?$/g, ''); // drops the error code, the system call and the path
    throw new UsageError(`--${flag}: cannot read ${path}: ${why}`, { cause: error });
  }
}

function certificate(flag: string, path: string): Buffer {
  const text = pem(flag, path);
  try {
    new X509Certificate(text);
    return text;
  } catch (error) {
    throw new UsageError(`--${flag}: ${path} has no certificate in PEM format`, { cause: error });
  }
}
