import { afterEach, expect, test, vi } from 'vitest';
import type { LeaseProof } from '../../src/core/deadline.ts';
import type { KeepAlive } from '../../src/etcd/lease.ts';
import type { EtcdTransport } from '../../src/etcd/transport.ts';
import { ReconnectBackoff } from '../../src/client/reconnect-backoff.ts';
import { Session } from '../../src/client/session.ts';
import type { FakeClock } from '../support/fake-clock.ts';

const { fake } = await vi.hoisted(async () => {
  const { FakeClock: Fake } = await import('../support/fake-clock.ts');
  return { fake: new Fake() };
});
vi.mock('../../src/util/clock.ts', async (original) => ({ ...(await original<object>()), clock: fake }));

afterEach(() => vi.useRealTimers());

test('S2: a renewal that is answered after the deadline brings nothing back', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }); // a blocked event loop runs timers late
  const clock: FakeClock = fake;
  let answer!: (proof: LeaseProof) => void;
  const keepAlive = {
    renew: () => new Promise<LeaseProof>((resolve) => (answer = resolve)),
    close: () => undefined,
  } as unknown as KeepAlive;
  const granted = { sentAtMs: clock.now(), grantedTtlSeconds: 3 };
  const ends: string[] = [];
  const session = new Session(
    { id: '7', proof: granted, keepAlive, marginMs: 300 },
    {
      transport: {
        isClosed: false,
        onClusterChanged: () => () => undefined,
        onClientClosed: () => () => undefined,
      } as unknown as EtcdTransport,
      backoff: new ReconnectBackoff({}),
      eventLog: { report: () => undefined } as never,
    },
  );
  session.onEnd((reason) => ends.push(reason));
  await clock.advance(1_000);
  const sentAtMs = clock.now();
  await clock.advance(1_800); // beyond the deadline of the grant, which no timer has announced yet
  expect(session.isValid()).toBe(false);
  answer({ sentAtMs, grantedTtlSeconds: 3 }); // good until 900 ms from now, if it counted
  await clock.advance(0);
  expect(session.isValid()).toBe(false);
  expect(ends).toEqual(['deadline-passed']);
});
