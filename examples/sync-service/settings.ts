/** The settings from the environment. */
export interface Settings {
  readonly endpoints: string[];
  readonly host: string;
  readonly port: number;
  /** Port of the diagnostics. If undefined, there are no diagnostics. */
  readonly diagnosticsPort: number | undefined;
  readonly election: string;
  readonly ttlSeconds: number;
  /** Prefix of the tasks' keys. */
  readonly keys: string;
  /** The announced value. If undefined, the library announces the IP address of this host and the process ID. */
  readonly announce: string | undefined;
}

/** Reads the settings. @throws {TypeError} if a variable is missing or invalid. The message names the variable. */
export function settingsFrom(env: NodeJS.ProcessEnv): Settings {
  const port = (name: string, otherwise: number): number => {
    const value = Number(env[name] ?? otherwise);
    if (Number.isInteger(value) && value >= 0 && value <= 65_535) return value;
    throw new TypeError(`${name}: expected a port, got ${env[name]}`);
  };
  const endpoints = env['ETCD_ENDPOINTS'];
  // There is no default address, so that no replica leads alone in another etcd by mistake.
  if (!endpoints)
    throw new TypeError('ETCD_ENDPOINTS: expected addresses, for example http://127.0.0.1:2379');
  return {
    endpoints: endpoints.split(','),
    host: env['HOST'] ?? '127.0.0.1',
    port: port('PORT', 8788),
    diagnosticsPort: env['DIAGNOSTICS_PORT'] === 'off' ? undefined : port('DIAGNOSTICS_PORT', 6161),
    election: env['ELECTION'] ?? 'sync-master',
    ttlSeconds: Number(env['TTL_SECONDS'] ?? 10),
    keys: env['KEYS'] ?? 'sync-service/',
    announce: env['ANNOUNCE'],
  };
}
