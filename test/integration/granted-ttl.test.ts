import { setTimeout as sleep } from 'node:timers/promises';
import { type EtcdCluster, startEtcd } from 'etcd-election/dev';
import { afterAll, beforeAll, expect } from 'vitest';
import { test } from '../support/world.ts';

// etcd grants at least one and a half of its election timeout: with 4 s, a request for 2 s gets 6 s.

let cluster: EtcdCluster;
beforeAll(async () => {
  cluster = await startEtcd({ extraArgs: ['--election-timeout=4000', '--heartbeat-interval=400'] });
});
afterAll(() => cluster.stop());

test('S2: the default margin is a tenth of the granted TTL, and probes use it too', async ({
  world,
  candidate,
}) => {
  const client = world.client({ hosts: cluster.endpoints });
  const alice = candidate('alice', { client, ttlSeconds: 2 });
  const term = await alice.campaign();
  expect(term.remainingMs()).toBeLessThanOrEqual(5_400);
  expect(term.remainingMs()).toBeGreaterThan(2_000);

  const [before, sinceMs] = [await watchMessages(), performance.now()];
  await sleep(4_000);
  const after = await watchMessages();
  // A probe is two messages: create and cancel. There is one in each third of the TTL, and the thirds at the ends are incomplete.
  expect(after - before).toBeLessThanOrEqual(2 * ((performance.now() - sinceMs) / 2_000 + 1));
});

async function watchMessages(): Promise<number> {
  const text = await (await fetch(`${cluster.endpoints[0]}/metrics`)).text();
  const line = text
    .split('\n')
    .find((one) => one.startsWith('grpc_server_msg_received_total{') && one.includes('grpc_method="Watch"'));
  return Number(line?.split(' ').at(-1) ?? 0);
}
