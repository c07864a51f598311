/**
 * Opens the one watch stream of a client, and connects it to the client's back-off and event log.
 */
import { SHORTEST_PROXIED_TTL_SECONDS } from '../core/deadline.ts';
import type { EtcdTransport } from '../etcd/transport.ts';
import { SharedWatch } from '../etcd/watch.ts';
import type { ReconnectBackoff } from './reconnect-backoff.ts';
import type { EventLog } from '../logging/event-log.ts';

/** @param eventLog reports events of the stream and of etcd. */
export function openSharedWatch(
  transport: EtcdTransport,
  backoff: ReconnectBackoff,
  eventLog: EventLog,
): SharedWatch {
  transport.history.onWentBack(({ fromRevision, toRevision }) =>
    eventLog.report({
      type: 'etcd.history-lost',
      fromRevision: fromRevision.toString(),
      toRevision: toRevision.toString(),
    }),
  );
  transport.tell = (event) => eventLog.report(event);
  return new SharedWatch({
    transport,
    backoff,
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
}
