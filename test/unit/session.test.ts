import { afterEach, expect, test, vi } from 'vitest';
import type { LeaseProof } from '../../src/core/deadline.ts';
import type { KeepAlive } from '../../src/etcd/lease.ts';
import type { EtcdTransport } from '../../src/etcd/transport.ts';
import { EtcdError } from '../../src/etcd/etcd-error.ts';
import { ReconnectBackoff } from '../../src/client/reconnect-backoff.ts';
import { Session } from '../../src/client/session.ts';
import { SharedLog } from '../../src/logging/shared-log.ts';
import type { FakeClock } from '../support/fake-clock.ts';

const { fake } = await vi.hoisted(async () => {
  const { FakeClock: Fake } = await import('../support/fake-clock.ts');
  return { fake: new Fake() };
});
vi.mock('../../src/util/clock.ts', async (original) => ({ ...(await original<object>()), clock: fake }));

afterEach(() => vi.useRealTimers());

/** A renewal that the test answers. */
function answeredLater(): {
  keepAlive: KeepAlive;
  answer: (proof: LeaseProof) => void;
  begun: () => number;
} {
  let settle!: (proof: LeaseProof) => void;
  let begun = 0;
  const renew = (): Promise<LeaseProof> => {
    begun++;
    return new Promise((resolve) => (settle = resolve));
  };
  return {
    keepAlive: { renew, close: () => undefined } as unknown as KeepAlive,
    answer: (proof) => settle(proof),
    begun: () => begun,
  };
}

const sessionOn = (
  keepAlive: KeepAlive,
  proof: LeaseProof,
  client = { isClosed: false },
  backoff = new ReconnectBackoff({}),
): Session =>
  new Session(
    { id: '7', proof, keepAlive, marginMs: 100 * proof.grantedTtlSeconds },
    {
      transport: {
        get isClosed() {
          return client.isClosed;
        },
        onClusterChanged: () => () => undefined,
        onClientClosed: () => () => undefined,
      } as unknown as EtcdTransport,
      backoff,
      log: new SharedLog(),
    },
  );

test('G5: renewals whose proofs are a second old do not follow each other at once', async () => {
  const clock: FakeClock = fake;
  let renewals = 0;
  // If a proxy may have answered, the proof comes from the remaining TTL in whole seconds, rounded down.
  const renew = (): Promise<LeaseProof> => {
    renewals++;
    return Promise.resolve({ sentAtMs: clock.now() - 1_000, grantedTtlSeconds: 2 });
  };
  const keepAlive = { renew, close: () => undefined } as unknown as KeepAlive;
  const session = sessionOn(keepAlive, { sentAtMs: clock.now(), grantedTtlSeconds: 2 });
  for (let count = 0; count < 300; count++) await clock.advance(10);
  expect(session.isValid()).toBe(true);
  expect(renewals).toBeGreaterThan(10);
  expect(renewals).toBeLessThan(20);
  session.end('closed');
});

test('a renewal that is due when the last one was answered begins in the same turn', async () => {
  const clock: FakeClock = fake;
  const { keepAlive, answer, begun } = answeredLater();
  const session = sessionOn(keepAlive, { sentAtMs: clock.now(), grantedTtlSeconds: 3 });
  await clock.advance(1_000);
  const sentAtMs = clock.now();
  await clock.advance(1_200); // a busy event loop reads the answer late, when the next renewal is due
  expect(begun()).toBe(1);
  answer({ sentAtMs, grantedTtlSeconds: 3 });
  for (let steps = 0; steps < 10; steps++) await Promise.resolve(); // no turn of the event loop
  expect(begun()).toBe(2);
  session.end('closed');
});

test('S2: a renewal that is answered after the deadline does not extend it', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }); // a blocked event loop runs timers late
  const clock: FakeClock = fake;
  const { keepAlive, answer } = answeredLater();
  const granted = { sentAtMs: clock.now(), grantedTtlSeconds: 3 };
  const ends: string[] = [];
  const session = sessionOn(keepAlive, granted);
  session.onEnd((reason) => ends.push(reason));
  await clock.advance(1_000);
  const sentAtMs = clock.now();
  await clock.advance(1_800); // beyond the deadline of the grant, which no timer has announced yet
  expect(session.isValid()).toBe(false);
  answer({ sentAtMs, grantedTtlSeconds: 3 }); // if it counted, it would be valid until 900 ms from now
  await clock.advance(0);
  expect(session.isValid()).toBe(false);
  expect(ends).toEqual(['deadline-passed']);
});

test('a renewal that is answered after the client was closed ends the session as lost', async () => {
  const clock: FakeClock = fake;
  const { keepAlive, answer } = answeredLater();
  const client = { isClosed: false };
  const ends: string[] = [];
  const session = sessionOn(keepAlive, { sentAtMs: clock.now(), grantedTtlSeconds: 3 }, client);
  session.onEnd((reason) => ends.push(reason));
  await clock.advance(1_000);
  client.isClosed = true;
  answer({ sentAtMs: clock.now(), grantedTtlSeconds: 3 });
  await clock.advance(0);
  expect(ends).toEqual(['lease-lost']);
});

test('L5: a lease whose renewals etcd refuses does not hold up the other tries of its client', async () => {
  const clock: FakeClock = fake;
  const backoff = new ReconnectBackoff({});
  const denied = new EtcdError('refused', 'confirm the renewal: etcdserver: permission denied', false);
  const keepAlive = { renew: () => Promise.reject(denied), close: () => undefined } as unknown as KeepAlive;
  const session = sessionOn(
    keepAlive,
    { sentAtMs: clock.now(), grantedTtlSeconds: 60 },
    { isClosed: false },
    backoff,
  );
  for (let count = 0; count < 250; count++) await clock.advance(100); // the renewals have failed for 5 s
  let isThrough = false;
  void backoff.pass(new AbortController().signal).then(() => (isThrough = true));
  for (let count = 0; count < 30; count++) await clock.advance(100);
  expect(isThrough).toBe(true);
  session.end('closed');
});

test('L5: a delete that fails while the retry of another one ends is retried too', async () => {
  const clock: FakeClock = fake;
  const { keepAlive } = answeredLater();
  const session = sessionOn(keepAlive, { sentAtMs: clock.now(), grantedTtlSeconds: 600 });
  const { pendingDeletes } = session;
  let retried = 0;
  const second = (): Promise<void> => Promise.resolve(void retried++);
  const flushAll = pendingDeletes.flushAll.bind(pendingDeletes);
  vi.spyOn(pendingDeletes, 'flushAll').mockImplementationOnce(async (limits) => {
    const isAnswered = await flushAll(limits);
    // The retry has seen every key. It has not ended yet.
    pendingDeletes.add('second', second, 0);
    void session.retryDeletes();
    return isAnswered;
  });
  pendingDeletes.add('first', () => Promise.resolve(), 0);
  void session.retryDeletes();
  for (let count = 0; count < 50; count++) await clock.advance(100); // the next renewal is due after 200 s
  expect(retried).toBe(1);
  session.end('closed');
});
