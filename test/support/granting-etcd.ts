import { History } from '../../src/etcd/history.ts';
import type { EtcdTransport } from '../../src/etcd/transport.ts';

const end = (): void => undefined;

/** A transport to no etcd: every lease is granted and revoked, and a stream never answers. */
export const grantingEtcd = (): EtcdTransport =>
  ({
    endpoints: ['host'],
    history: new History(),
    isClosed: false,
    unary: (what: string) => Promise.resolve(what === 'grant a lease' ? { TTL: '10' } : {}),
    stream: () =>
      Promise.resolve({ raw: { on: end, write: end }, onLost: end, close: end, fail: end, leave: end }),
    onClusterChanged: () => end,
    onClientClosed: () => end,
  }) as unknown as EtcdTransport;
