/** What all programs in this folder share: the client, the name of the election, and the shutdown. */
import { Etcd3 } from 'etcd3';

/** Connects to ETCD_ENDPOINTS. There is no default address, so that no replica leads alone in another etcd by mistake. */
export function connect(): Etcd3 {
  const endpoints = process.env['ETCD_ENDPOINTS'];
  if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
  return new Etcd3({ hosts: endpoints.split(',') });
}

export const electionName: string = process.env['ELECTION'] ?? 'shapes';

/** Calls `end` on SIGTERM or SIGINT. `end` must close the election first, and then the client and whatever the work uses. */
export function onStop(end: () => Promise<unknown>): void {
  let ending: Promise<unknown> | undefined;
  const stop = (): void => void (ending ??= end());
  process.on('SIGTERM', stop); // not `once`: a second signal would kill the process before `end` is over
  process.on('SIGINT', stop);
}
