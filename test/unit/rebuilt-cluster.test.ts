import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import { expect, onTestFinished, test, vi } from 'vitest';
import { sharedClientOf } from '../../src/client/shared-client.ts';
import type { FakeClock } from '../support/fake-clock.ts';
import { grpcServer, headerOf } from '../support/grpc-server.ts';

const { fake } = await vi.hoisted(async () => {
  const { FakeClock: Fake } = await import('../support/fake-clock.ts');
  return { fake: new Fake() };
});
vi.mock('../../src/util/clock.ts', async (original) => ({ ...(await original<object>()), clock: fake }));

test.for([
  ['is gone', true],
  ['belongs to it too', false],
] as const)(
  'L5: a cluster that was rebuilt on two of three hosts is ours, if the third %s',
  async ([, isGone]) => {
    const clock: FakeClock = fake;
    let clusterId = 7n;
    const hosts = await Promise.all([1, 2, 3].map(() => grpcServer(() => ({ body: headerOf(clusterId) }))));
    const client = new Etcd3({ hosts: hosts.map(({ host }) => host) });
    const { transport } = sharedClientOf(client);
    onTestFinished(() => {
      client.close();
      transport.closeWhenUnused();
    });
    const write = (): Promise<unknown> =>
      transport.unary('write', (own, options) => own.kv.txn({}, options), { withinMs: 5_000 });
    while (hosts.some(({ asked }) => !asked.includes('Txn'))) await write();
    if (isGone) hosts[2]!.stop();
    await clock.advance(60_000);
    clusterId = 9n;
    let outcome = '';
    for (let tries = 0; tries < 60 && outcome !== 'written'; tries++) {
      outcome = await write().then(() => 'written', String);
      await sleep(5); // probes go on over the real network
      await clock.advance(1_000);
    }
    expect(outcome).toBe('written');
  },
);
