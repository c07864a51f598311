/**
 * The one watch stream of a client, wired to the guard and the reporter that its elections share.
 */
import type { Etcd3 } from 'etcd3';
import { SHORTEST_PROXIED_TTL_SECONDS } from '../core/deadline.ts';
import { linkOf } from '../etcd/transport.ts';
import { WatchHub } from '../etcd/watch.ts';
import { paceOf } from './reconnect-backoff.ts';
import type { Reporter } from '../logging/event-log.ts';

const hubs = new WeakMap<Etcd3, WatchHub>();

/** @param reporter tells of the stream's fortunes; that of the first election of the client does so for all. */
export function hubOf(client: Etcd3, reporter: Reporter): WatchHub {
  let hub = hubs.get(client);
  if (hub === undefined) {
    const link = linkOf(client);
    link.history.onWentBack(({ fromRevision, toRevision }) =>
      reporter.report({
        type: 'etcd.history-lost',
        fromRevision: fromRevision.toString(),
        toRevision: toRevision.toString(),
      }),
    );
    link.tell = (event) => reporter.report(event);
    hub = new WatchHub({
      link,
      pace: paceOf(client),
      onLost: (reason) => reporter.report({ type: 'watch.lost', reason }),
      onHealed: (afterMs) => reporter.report({ type: 'watch.healed', afterMs }),
      onUnconfirmed: (silentMs) => reporter.report({ type: 'watch.unconfirmed', silentMs }),
      onProxied: (ttlSeconds) =>
        reporter.report({
          type: 'etcd.proxied',
          ttlSeconds,
          isSupported: ttlSeconds >= SHORTEST_PROXIED_TTL_SECONDS,
        }),
    });
    hubs.set(client, hub);
  }
  return hub;
}
