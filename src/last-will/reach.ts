/**
 * Reads from the options of the user's client how to reach etcd.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Etcd3, IOptions } from 'etcd3';
import type { Reach } from './messages.ts';

/** @throws {Error} if the helper cannot dial one of the hosts. */
export function reachOf(client: Etcd3): Reach {
  const { hosts, credentials, auth, grpcOptions } = (client as unknown as { options: Partial<IOptions> })
    .options;
  const given = [hosts ?? '127.0.0.1:2379'].flat();
  // As in etcd3: with credentials, or with one https:// host, all hosts use TLS.
  const secure = credentials !== undefined || given.some((host) => host.startsWith('https:'));
  return {
    hosts: given.map(dialable),
    auth: auth && { username: auth.username, password: auth.password },
    tls: secure
      ? {
          ca: text(credentials?.rootCertificate) ?? rootsOfGrpc(),
          key: text(credentials?.privateKey),
          cert: text(credentials?.certChain),
          servername: option(grpcOptions, 'grpc.ssl_target_name_override'),
        }
      : undefined,
    authority: option(grpcOptions, 'grpc.default_authority'),
  };
}

/**
 * Accepts the targets of gRPC: `host:port`, `dns:host:port`, `dns:///host:port`, `unix:path` and `unix:///path`. Node resolves
 * names when it dials, as gRPC does. A target with its own name server (`dns://server/host`) is not supported.
 */
function dialable(host: string): string {
  const address = host.replace(/^https?:\/\//, '');
  const [, root, path] = /^unix:(\/\/\/)?(.+)$/.exec(address) ?? [];
  if (path !== undefined) return resolve(root === undefined ? path : `/${path}`);
  const target = address.replace(/^dns:(\/\/\/)?/, '');
  if (URL.canParse(`grpc://${target}`) && /^[^/?#@]+$/.test(target)) return target;
  throw new Error(
    `the last will cannot connect to this kind of address, which only etcd3 can dial: ${address}`,
  );
}

const text = (pem: Buffer | undefined): string | undefined => pem && Buffer.from(pem).toString();

function option(options: IOptions['grpcOptions'], name: string): string | undefined {
  const value: unknown = options?.[name];
  return typeof value === 'string' ? value : undefined;
}

/** The root certificates that gRPC uses if the client's options have none; undefined for Node's own. */
function rootsOfGrpc(): string | undefined {
  const path = process.env['GRPC_DEFAULT_SSL_ROOTS_FILE_PATH'];
  return path === undefined || path === '' ? undefined : readFileSync(path, 'utf8');
}
