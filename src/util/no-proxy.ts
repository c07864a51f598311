/** The variables from which gRPC takes the address of an HTTP proxy. */
const PROXIES = ['grpc_proxy', 'https_proxy', 'http_proxy'] as const;
/** This machine, in the syntax of `no_proxy`. */
const LOOPBACK = ['localhost', '127.0.0.0/8'] as const;

/**
 * Excludes this machine from the HTTP proxy of gRPC, as `etcdctl` does. Otherwise gRPC for Node.js sends even connections
 * to 127.0.0.1 through the proxy. This function also reads `NO_PROXY`, and lists with spaces. gRPC understands neither.
 *
 * `::1` is excluded only if an endpoint names it. The reason: gRPC compares the ends of names, so `::1` also excludes
 * `2001:db8::1`.
 *
 * @param endpoints addresses of etcd.
 * @param env the environment that gRPC reads. Only `no_grpc_proxy` is changed, and only if there is a proxy.
 */
export function excludeLoopbackFromProxy(
  endpoints: readonly string[] = [],
  env: NodeJS.ProcessEnv = process.env,
): void {
  if (PROXIES.every((name) => !env[name])) return;
  const listed = [env['no_grpc_proxy'], env['no_proxy'], env['NO_PROXY']].find(Boolean) ?? '';
  const hosts = listed.split(',').map((host) => host.trim());
  const ipv6 = endpoints.some((endpoint) => endpoint.includes('[::1]')) ? ['::1'] : [];
  env['no_grpc_proxy'] = [...new Set([...hosts, ...LOOPBACK, ...ipv6])]
    .filter((host) => host !== '')
    .join(',');
}
