/**
 * The one watch stream of a client, wired to the guard and the reporter that its elections share.
 */
import type { Etcd3 } from 'etcd3';
import { SHORTEST_PROXIED_TTL_SECONDS } from '../core/deadline.ts';
import { transportOf } from '../etcd/transport.ts';
import { SharedWatch } from '../etcd/watch.ts';
import { reconnectBackoffOf } from './reconnect-backoff.ts';
import type { EventLog } from '../logging/event-log.ts';

const sharedWatches = new WeakMap<Etcd3, SharedWatch>();

/** @param reporter tells of the stream's fortunes; that of the first election of the client does so for all. */
export function sharedWatchOf(client: Etcd3, eventLog: EventLog): SharedWatch {
  let sharedWatch = sharedWatches.get(client);
  if (sharedWatch === undefined) {
    const transport = transportOf(client);
    transport.history.onWentBack(({ fromRevision, toRevision }) =>
      eventLog.report({
        type: 'etcd.history-lost',
        fromRevision: fromRevision.toString(),
        toRevision: toRevision.toString(),
      }),
    );
    transport.tell = (event) => eventLog.report(event);
    sharedWatch = new SharedWatch({
      transport,
      backoff: reconnectBackoffOf(client),
      onLost: (reason) => eventLog.report({ type: 'watch.lost', reason }),
      onHealed: (afterMs) => eventLog.report({ type: 'watch.healed', afterMs }),
      onUnconfirmed: (silentMs) => eventLog.report({ type: 'watch.unconfirmed', silentMs }),
      onProxied: (ttlSeconds) =>
        eventLog.report({
          type: 'etcd.proxied',
          ttlSeconds,
          isSupported: ttlSeconds >= SHORTEST_PROXIED_TTL_SECONDS,
        }),
    });
    sharedWatches.set(client, sharedWatch);
  }
  return sharedWatch;
}
