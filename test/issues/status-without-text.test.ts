// A proxy sent a gRPC status without a text. The log then said `etcd host … is avoided: ` and no cause.
import { expect } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { grpcServer } from '../support/grpc-server.ts';
import { SOON_MS, test } from '../support/world.ts';

test('the line host.away names the code of a status without a text', async ({ candidate, etcd, log }) => {
  const mute = await grpcServer(() => ({ status: 14 }));
  using _mute = { [Symbol.dispose]: mute.stop };
  const alice = candidate('alice', { hosts: [etcd.endpoints[0]!, mute.host] });
  await alice.campaign();
  await eventually(() => expect(log.of('host.away')).not.toEqual([]), { withinMs: SOON_MS });
  const [{ msg, reason }] = log.of('host.away') as unknown as [{ msg: string; reason: string }];
  expect(reason).toBe('gRPC status UNAVAILABLE without a text');
  expect(msg).toContain(`: ${reason}`);
});
