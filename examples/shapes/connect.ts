/** The start of all programs in this folder. */
import { Etcd3 } from 'etcd3';

/** There is no default. With a default, a replica without the variable would lead alone in another etcd. */
export function connect(): Etcd3 {
  const endpoints = process.env['ETCD_ENDPOINTS'];
  if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
  return new Etcd3({ hosts: endpoints.split(',') });
}

export const electionName: string = process.env['ELECTION'] ?? 'shapes';

/** Calls `end` on SIGTERM or SIGINT. `end` must close the election first, and then what the work uses. */
export function onStop(end: () => Promise<unknown>): void {
  const stop = (): void => void end();
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}
