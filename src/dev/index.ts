export { type EtcdMember, EtcdStartError } from './etcd-member.ts';
export { type EtcdCluster, type StartEtcdOptions, startEtcd } from './etcd-server.ts';
export { type EtcdSeries } from './etcd-packages.ts';
export { EtcdNotFoundError, type FindEtcdOptions, etcdPath, etcdctlPath } from './find-etcd.ts';
export { type Direction, type FaultyProxy, type StartProxyOptions, startProxy } from './proxy.ts';
export { type ProvidedEtcd, findEndpoints, provideEtcd } from './provide-etcd.ts';
export { resetLoopGuards } from './loop-guards.ts';
