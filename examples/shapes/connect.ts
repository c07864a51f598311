/** What all programs of this folder begin with. */
import { Etcd3 } from 'etcd3';

/** No fallback: a replica that connects to another etcd than the rest leads beside them. */
export function connect(): Etcd3 {
  const endpoints = process.env['ETCD_ENDPOINTS'];
  if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
  return new Etcd3({ hosts: endpoints.split(',') });
}

export const electionName: string = process.env['ELECTION'] ?? 'shapes';

/** Ends a program in order: the election before all that its work uses. */
export function onStop(end: () => Promise<unknown>): void {
  const stop = (): void => void end();
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}
