import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { LeaseOutage } from '../../src/client/lease-outage.ts';
import { ReconnectBackoff } from '../../src/client/reconnect-backoff.ts';
import { SessionPool, type LeaseHolder } from '../../src/client/session-pool.ts';
import { plainCauseWithCertificate } from '../../src/core/plain-cause.ts';
import { EtcdError } from '../../src/etcd/etcd-error.ts';
import { History } from '../../src/etcd/history.ts';
import type { EtcdTransport } from '../../src/etcd/transport.ts';
import type { LastWill } from '../../src/last-will/index.ts';
import type { EventLog } from '../../src/logging/event-log.ts';
import { SharedLog } from '../../src/logging/shared-log.ts';

beforeEach(
  () =>
    void vi.useFakeTimers({
      toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate', 'performance', 'Date'],
    }),
);
afterEach(() => void vi.useRealTimers());

const TTL_MS = 3_000;
const AWAY = 'grant a lease: connect ECONNREFUSED 127.0.0.1:2379';
const rejected = (alert: string): string =>
  `grant a lease: ${plainCauseWithCertificate(`error:0A000412:SSL routines:ssl3_read_bytes:sslv3 alert ${alert}:rec_layer_s3.c:1605:SSL alert number 45`)}`;

// etcd 3.4 says only "bad certificate".
test.for(['certificate expired', 'bad certificate'])(
  'the alert "%s" for one TTL is a lasting rejection of our certificate, until a try succeeds',
  (alert) => {
    const outage = new LeaseOutage();
    outage.note(rejected(alert));
    vi.advanceTimersByTime(TTL_MS - 1);
    outage.note(rejected(alert));
    expect(outage.rejection(TTL_MS)).toBeUndefined();
    vi.advanceTimersByTime(1);
    outage.note(rejected(alert));
    expect(outage.rejection(TTL_MS)).toBe(rejected(alert));
    vi.advanceTimersByTime(60_000);
    outage.note(AWAY);
    expect(outage.rejection(TTL_MS)).toBe(rejected(alert));
    outage.over();
    outage.note(rejected(alert));
    expect(outage.rejection(TTL_MS)).toBeUndefined();
  },
);

test('an etcd that is away after one rejection is an outage, which no restart ends', () => {
  const outage = new LeaseOutage();
  outage.note(rejected('certificate expired'));
  for (let second = 0; second < 60; second++) {
    vi.advanceTimersByTime(1_000);
    outage.note(AWAY);
  }
  expect(outage.rejection(TTL_MS)).toBeUndefined();
  expect(outage.reason).toBe(AWAY);
});

test.for([
  ['one of three', 3, false],
  ['two of three', 1.5, true],
] as const)(
  'if %s hosts rejects our certificate and the others are away, the majority decides',
  ([, every, isLasting]) => {
    const outage = new LeaseOutage();
    for (let second = 0; second < 12; second++) {
      outage.note(second % every < 1 ? rejected('certificate expired') : AWAY);
      vi.advanceTimersByTime(1_000);
    }
    expect(outage.rejection(TTL_MS) !== undefined).toBe(isLasting);
  },
);

test('an authority that we do not trust for one TTL is a lasting rejection: a restart reads its file again', () => {
  const outage = new LeaseOutage();
  const untrusted = `grant a lease: ${plainCauseWithCertificate('unable to verify the first certificate')}`;
  outage.note(untrusted);
  expect(outage.rejection(TTL_MS)).toBeUndefined();
  vi.advanceTimersByTime(TTL_MS);
  outage.note(untrusted);
  expect(outage.rejection(TTL_MS)).toBe(untrusted);
});

test("etcd's own certificate has expired: no restart of ours helps", () => {
  const outage = new LeaseOutage();
  for (let second = 0; second < 60; second++) {
    vi.advanceTimersByTime(1_000);
    outage.note(`grant a lease: ${plainCauseWithCertificate('certificate has expired')}`);
  }
  expect(outage.rejection(TTL_MS)).toBeUndefined();
});

test('the pool tells a rejection that has lasted for one TTL, until it has a lease', async () => {
  let isRejected = true;
  const end = (): void => undefined;
  const transport = {
    endpoints: ['host'],
    history: new History(),
    isClosed: false,
    unary: async (what: string) => {
      await Promise.resolve();
      if (isRejected) throw new EtcdError('unavailable', rejected('certificate expired'), false);
      return what === 'grant a lease' ? { TTL: '3' } : {};
    },
    stream: () =>
      Promise.resolve({ raw: { on: end, write: end }, onLost: end, close: end, fail: end, leave: end }),
    onClusterChanged: () => end,
    onClientClosed: () => end,
  } as unknown as EtcdTransport;
  const backoff = new ReconnectBackoff({});
  const client = { transport, backoff, log: new SharedLog(), lastWill: {} as LastWill };
  const pool = new SessionPool(client, TTL_MS / 1000);
  const holder: LeaseHolder = {
    keyPrefix: 'election/e/',
    isRefused: () => false,
    mayHaveKey: () => true,
    onOwnKey: end,
    onOwnKeyDenied: end,
  };
  pool.join(holder, undefined, { report: end } as unknown as EventLog, false);
  onTestFinished(() => pool.leave(holder));

  const acquired = pool.acquire(new AbortController().signal);
  await vi.advanceTimersByTimeAsync(TTL_MS - 1);
  expect(pool.certificateRejection).toBeUndefined();
  await vi.advanceTimersByTimeAsync(2 * TTL_MS);
  expect(pool.certificateRejection).toBe(rejected('certificate expired'));
  isRejected = false;
  await vi.advanceTimersByTimeAsync(TTL_MS);
  await acquired;
  expect(pool.certificateRejection).toBeUndefined();
});
