import { expect, test } from 'vitest';
import { excludeLoopbackFromProxy } from '../../src/util/no-proxy.ts';

test.for<[NodeJS.ProcessEnv, string | undefined]>([
  [{}, undefined],
  [{ no_proxy: 'a' }, undefined],
  [{ http_proxy: '' }, undefined],
  [{ http_proxy: 'http://p:1' }, 'localhost,127.0.0.0/8'],
  [{ https_proxy: 'http://p:1', no_proxy: '.corp, 10.0.0.1,' }, '.corp,10.0.0.1,localhost,127.0.0.0/8'],
  [{ grpc_proxy: 'http://p:1', NO_PROXY: 'a,localhost' }, 'a,localhost,127.0.0.0/8'],
  [{ http_proxy: 'http://p:1', no_grpc_proxy: 'a', no_proxy: 'b' }, 'a,localhost,127.0.0.0/8'],
])('%j: gRPC uses no proxy for %s', ([env, hosts]) => {
  for (const _ of ['once', 'again']) {
    excludeLoopbackFromProxy(env);
    expect(env['no_grpc_proxy']).toBe(hosts);
  }
});
