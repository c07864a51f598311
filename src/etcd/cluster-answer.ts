/** Asks a host for any answer, because every answer names the host's cluster. */
import type { Invoke } from './unary.ts';

export interface Credentials {
  readonly name: string;
  readonly password: string;
}

export interface ClusterAnswer {
  /** A proxy may leave it out. */
  readonly header?: { readonly cluster_id?: string } | null;
}

/** The ID of a lease that presumably nobody has. Asking for its time to live needs no permission. */
const NO_ONES_LEASE = '1';

/**
 * With authentication on, some releases of etcd show their status to root only. Then we log in, because the answer
 * to a login also has the cluster ID. A client without a password asks for the time to live of a lease.
 *
 * @param ask sends a call to the host.
 * @param isRefused whether the fault is a refusal by etcd.
 * @throws what `ask` throws, except a refusal of the status by etcd.
 */
export async function askForCluster(
  ask: <T>(invoke: Invoke<T>) => Promise<T>,
  credentials: Credentials | undefined,
  isRefused: (fault: unknown) => boolean,
): Promise<ClusterAnswer> {
  try {
    return await ask((client, options) => client.maintenance.status(options));
  } catch (fault) {
    if (!isRefused(fault)) throw fault;
  }
  return credentials === undefined
    ? await ask((client, options) => client.leaseClient.leaseTimeToLive({ ID: NO_ONES_LEASE }, options))
    : await ask((client, options) => client.auth.authenticate(credentials, options));
}
