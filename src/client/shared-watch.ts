/**
 * Opens the one watch stream of a client, and connects it to the client's back-off and event log.
 */
import { SHORTEST_PROXIED_TTL_SECONDS } from '../core/deadline.ts';
import type { EtcdTransport } from '../etcd/transport.ts';
import { SharedWatch } from '../etcd/watch.ts';
import type { ReconnectBackoff } from './reconnect-backoff.ts';
import type { SharedLog } from '../logging/shared-log.ts';

export function openSharedWatch(
  transport: EtcdTransport,
  backoff: ReconnectBackoff,
  log: SharedLog,
): SharedWatch {
  transport.history.onWentBack(({ fromRevision, toRevision }) =>
    log.report({
      type: 'etcd.history-lost',
      fromRevision: fromRevision.toString(),
      toRevision: toRevision.toString(),
    }),
  );
  transport.tell = (event) => log.report(event);
  return new SharedWatch({
    transport,
    backoff,
    onLost: (reason) => log.report({ type: 'watch.lost', reason }),
    onHealed: (afterMs) => log.report({ type: 'watch.healed', afterMs }),
    onUnconfirmed: (silentMs) => log.report({ type: 'watch.unconfirmed', silentMs }),
    onProxied: (ttlSeconds) =>
      log.report({
        type: 'etcd.proxied',
        ttlSeconds,
        isSupported: ttlSeconds >= SHORTEST_PROXIED_TTL_SECONDS,
      }),
  });
}
