/** The start of all programs in this folder. */
import { Etcd3 } from 'etcd3';

/** No default: a replica on another etcd would lead there, while another replica leads on the right etcd. */
export function connect(): Etcd3 {
  const endpoints = process.env['ETCD_ENDPOINTS'];
  if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
  return new Etcd3({ hosts: endpoints.split(',') });
}

export const electionName: string = process.env['ELECTION'] ?? 'shapes';

/** Calls `end` on SIGTERM or SIGINT. For a clean end, it must close the election before what its work uses. */
export function onStop(end: () => Promise<unknown>): void {
  const stop = (): void => void end();
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}
