import { setTimeout as sleep } from 'node:timers/promises';
import { type EtcdCluster, startEtcd } from 'etcd-election/dev';
import { afterAll, beforeAll, expect } from 'vitest';
import { test } from '../support/world.ts';

// etcd grants no less than one and a half of its election timeout: with 4 s, 6 s for whoever asks for 2.

let cluster: EtcdCluster;
beforeAll(async () => {
  cluster = await startEtcd({ extraArgs: ['--election-timeout=4000', '--heartbeat-interval=400'] });
});
afterAll(() => cluster.stop());

test('S2: the default margin is a tenth of the TTL that is granted, and probes go by it too', async ({
  world,
  candidate,
}) => {
  const client = world.client({ hosts: cluster.endpoints });
  const alice = candidate('alice', { client, ttlSeconds: 2 });
  const term = await alice.campaign();
  expect(term.remainingMs()).toBeLessThanOrEqual(5_400);
  expect(term.remainingMs()).toBeGreaterThan(2_000);

  const before = await watchMessages();
  await sleep(4_000);
  // A probe is two messages: create and cancel. Two thirds of the TTL hold two probes, and one more may fall in.
  expect((await watchMessages()) - before).toBeLessThanOrEqual(6);
});

async function watchMessages(): Promise<number> {
  const text = await (await fetch(`${cluster.endpoints[0]}/metrics`)).text();
  const line = text
    .split('\n')
    .find((one) => one.startsWith('grpc_server_msg_received_total{') && one.includes('grpc_method="Watch"'));
  return Number(line?.split(' ').at(-1) ?? 0);
}
