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
    excludeLoopbackFromProxy([], env);
    expect(env['no_grpc_proxy']).toBe(hosts);
  }
});

test.for<[string, string]>([
  ['http://[::1]:2379', 'localhost,127.0.0.0/8,::1'],
  ['[::1]:2379', 'localhost,127.0.0.0/8,::1'],
  ['http://[2001:db8::1]:2379', 'localhost,127.0.0.0/8'],
])('with the endpoint %s gRPC uses no proxy for %s', ([endpoint, hosts]) => {
  const env: NodeJS.ProcessEnv = { http_proxy: 'http://p:1' };
  excludeLoopbackFromProxy(['http://10.0.0.1:2379', endpoint], env);
  expect(env['no_grpc_proxy']).toBe(hosts);
});
