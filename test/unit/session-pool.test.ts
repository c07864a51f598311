import { expect, onTestFinished, test, vi } from 'vitest';
import { ReconnectBackoff } from '../../src/client/reconnect-backoff.ts';
import { SessionPool } from '../../src/client/session-pool.ts';
import { EtcdError, etcdErrorOf } from '../../src/etcd/etcd-error.ts';
import { hedged } from '../../src/etcd/hedge.ts';
import { History } from '../../src/etcd/history.ts';
import type { EtcdTransport } from '../../src/etcd/transport.ts';
import type { LastWill } from '../../src/last-will/index.ts';
import type { EventLog } from '../../src/logging/event-log.ts';
import { SharedLog } from '../../src/logging/shared-log.ts';
import { Deferred } from '../../src/util/deferred.ts';
import { holderOf } from '../support/lease-holder.ts';

const unanswered = (): EtcdError => new EtcdError('unavailable', 'no answer', true);

/** A pool on a client whose calls get these results, and a record of what happened. */
function poolOf(answers: { readonly [call: string]: () => unknown }) {
  const happened: string[] = [];
  const note = (what: string) => (): void => void happened.push(what);
  const stream = {
    raw: { on: () => undefined, write: () => undefined },
    onLost: () => undefined,
    close: note('stream closed'),
    fail: note('host suspected'),
    leave: note('host suspected'),
  };
  let clientClosed = (): void => undefined;
  const transport = {
    isClosed: false,
    history: new History(),
    endpoints: ['host'],
    unary: async (what: string) => {
      await Promise.resolve();
      happened.push(what);
      return answers[what]!();
    },
    stream: () => Promise.resolve(stream),
    onClusterChanged: () => () => undefined,
    onClientClosed: (listener: () => void) => {
      clientClosed = listener;
      return () => undefined;
    },
  };
  const lastWill = {
    hold: note('will holds'),
    drop: note('will drops'),
    dropLater: (_leaseId: string, afterMs: number) => void happened.push(`will drops in ${afterMs} ms`),
    ended: () => Promise.resolve(),
  } as unknown as LastWill;
  const client = {
    transport: transport as unknown as EtcdTransport,
    backoff: new ReconnectBackoff({}),
    log: new SharedLog(),
    lastWill,
  };
  const pool = new SessionPool(client, 10);
  const holder = holderOf('e', false);
  const eventLog = { report: () => undefined } as unknown as EventLog;
  pool.join(holder, undefined, eventLog, true);
  onTestFinished(() => pool.leave(holder));
  const closeClient = (): void => {
    transport.isClosed = true;
    clientClosed();
  };
  return { pool, holder, eventLog, happened, closeClient, client };
}

test('a grant that fails ends the stream of the renewals, but does not make its host suspect', async () => {
  let grants = 0;
  const { pool, happened } = poolOf({
    'grant a lease': () => {
      if (++grants === 1) throw new EtcdError('unavailable', 'etcdserver: too many requests', false);
      return { TTL: '10' };
    },
    'revoke the lease': () => ({}),
  });
  await pool.acquire(new AbortController().signal);
  expect(happened).toEqual(['grant a lease', 'stream closed', 'grant a lease', 'will holds']);
});

test.for([
  ['the last will drops a lease that was revoked', () => ({}), 'will drops'],
  [
    'the last will keeps a lease that could not be revoked, until it has expired',
    () => {
      throw unanswered();
    },
    'will drops in 10000 ms',
  ],
] as const)('%s', async ([, revoked, last]) => {
  const { pool, holder, happened } = poolOf({
    'grant a lease': () => ({ TTL: '10' }),
    'revoke the lease': revoked,
  });
  await pool.acquire(new AbortController().signal);
  await pool.leave(holder);
  expect(happened.at(-1)).toBe(last);
  expect(happened).toContain('will holds');
});

test('the last will keeps the lease of a client that the user has closed, until it has expired', async () => {
  const { pool, happened, closeClient } = poolOf({
    'grant a lease': () => ({ TTL: '10' }),
    'revoke the lease': () => ({}),
  });
  await pool.acquire(new AbortController().signal);
  closeClient();
  expect(happened.at(-1)).toBe('will drops in 10000 ms');
});

test.for([
  ['etcd refuses all elections and none has a key: it closes', 'refused', false, true],
  ['one of them may have a key: it stays', 'refused', true, false],
  ['etcd permits one of them: it stays', 'permitted', false, false],
] as const)('a session that is not usable: %s', async ([, second, mayHaveKey, closes]) => {
  const { pool, holder, eventLog, happened } = poolOf({
    'grant a lease': () => ({ TTL: '10' }),
    'revoke the lease': () => ({}),
  });
  const session = await pool.acquire(new AbortController().signal);
  const holders = [
    { ...holderOf('a', true), mayHaveKey: () => false },
    { ...holderOf('b', second === 'refused'), mayHaveKey: () => mayHaveKey },
  ];
  for (const each of holders) pool.join(each, undefined, eventLog, false);
  await pool.leave(holder);
  await pool.closeUnusable();
  expect(session.isValid()).toBe(!closes);
  expect(happened.includes('revoke the lease')).toBe(closes);
  expect(happened.includes('will drops')).toBe(closes);
  for (const each of holders) await pool.leave(each);
  expect(happened.filter((what) => what === 'revoke the lease')).toHaveLength(1);
});

const alreadyExists = (): EtcdError =>
  etcdErrorOf('grant a lease', { code: 9, details: 'etcdserver: lease already exists' }, new Error('9'));

test('L5: if a silent host has granted a lease, another lease is granted at once, on another host', async () => {
  const granted = new Set<string>();
  const revoked: string[] = [];
  const streams: string[] = [];
  const end = (): void => undefined;
  /** The first host applies the first grant, and never answers. */
  const grant = ({ ID }: { ID: string }): Promise<object> => {
    if (granted.has(ID)) return Promise.reject(alreadyExists());
    granted.add(ID);
    return granted.size === 1 ? new Deferred<object>().promise : Promise.resolve({ TTL: '10' });
  };
  const leaseClient = {
    leaseGrant: grant,
    leaseRevoke: ({ ID }: { ID: string }) => Promise.resolve(void revoked.push(ID)),
  };
  const transport = {
    endpoints: ['silent', 'sound'],
    history: new History(),
    isClosed: false,
    unary: (_what: string, invoke: (client: object) => Promise<unknown>) =>
      hedged(
        (_signal, onSilent) => {
          setImmediate(onSilent);
          return invoke({ leaseClient });
        },
        { times: 2 },
      ),
    stream: () => {
      const host = streams.length === 0 ? 'silent' : 'sound';
      streams.push(`${host} opened`);
      const close = (): void => void streams.push(`${host} closed`);
      return Promise.resolve({ raw: { on: end, write: end }, onLost: end, close, fail: close, leave: close });
    },
    onClusterChanged: () => end,
    onClientClosed: () => end,
  } as unknown as EtcdTransport;
  const eventLog = { report: end } as unknown as EventLog;
  const pool = new SessionPool(
    { transport, backoff: new ReconnectBackoff({}), log: new SharedLog(), lastWill: {} as never },
    10,
  );
  const holder = holderOf('e', false);
  pool.join(holder, undefined, eventLog, false);
  const session = await pool.acquire(new AbortController().signal);
  const [first, second] = granted;
  expect(session.leaseId).toBe(second);
  expect(streams).toEqual(['silent opened', 'silent closed', 'sound opened']);
  expect(revoked).toEqual([first]);
  await pool.leave(holder);
  expect(revoked).toEqual([first, second]);
});

test('S2: a lease whose grant was answered after its deadline begins no session', async () => {
  const started = performance.now();
  let grants = 0;
  const { pool, holder, eventLog, happened } = poolOf({
    'grant a lease': async () => {
      // The margin takes all but a second of the TTL. A busy machine uses the second lease within that time.
      const isLate = (): boolean => performance.now() > started + 1_100;
      if (++grants === 1) await vi.waitUntil(isLate, { timeout: 5_000, interval: 5 });
      return { TTL: '10' };
    },
    'revoke the lease': () => ({}),
  });
  const wide = holderOf('wide', false);
  pool.join(wide, 9_000, eventLog, false);
  const session = await pool.acquire(new AbortController().signal);
  expect(session.isValid()).toBe(true);
  expect(grants).toBe(2);
  expect(happened.filter((what) => what === 'revoke the lease')).toHaveLength(1);
  await pool.leave(wide);
  await pool.leave(holder);
});

test('a lease that etcd refused to grant is not revoked later', async () => {
  let grants = 0;
  const { pool, happened } = poolOf({
    'grant a lease': () => {
      if (++grants === 1) throw new EtcdError('refused', 'etcdserver: permission denied', false);
      return { TTL: '10' };
    },
    'revoke the lease': () => ({}),
  });
  await expect(pool.acquire(new AbortController().signal)).rejects.toMatchObject({ kind: 'refused' });
  await pool.acquire(new AbortController().signal);
  expect(happened).not.toContain('revoke the lease');
});

test('G5: leases that cannot be revoked are tried in one loop, however many sessions were lost', async () => {
  const passes: number[] = [];
  const { pool, client } = poolOf({
    'grant a lease': () => ({ TTL: '10' }),
    'revoke the lease': () => {
      throw unanswered();
    },
  });
  const sleeping: Deferred<void>[] = [];
  client.backoff.pass = () => {
    const slept = new Deferred<void>();
    sleeping.push(slept);
    return slept.promise;
  };
  for (let lost = 0; lost < 4; lost++) {
    const opened = pool.acquire(new AbortController().signal);
    sleeping.pop()!.resolve(); // the pass before the grant
    const session = await opened;
    passes.push(sleeping.length);
    session.end('deadline-passed');
  }
  expect(passes).toEqual([0, 1, 1, 1]);
  for (const slept of sleeping) slept.resolve();
});

test('S2: elections on one lease use the widest margin among them, until the election that asks for it has left', async () => {
  const { pool, eventLog } = poolOf({
    'grant a lease': () => ({ TTL: '10' }),
    'revoke the lease': () => ({}),
  });
  const session = await pool.acquire(new AbortController().signal);
  const defaultUntilMs = session.validUntilMs;
  const [wide, wider] = [holderOf('wide', false), holderOf('wider', false)];
  pool.join(wide, 2_000, eventLog, false);
  pool.join(wider, 4_000, eventLog, false);
  expect(session.validUntilMs).toBe(defaultUntilMs - 3_000);
  await pool.leave(wider);
  expect(session.validUntilMs).toBe(defaultUntilMs - 1_000);
  await pool.leave(wide);
  expect(session.validUntilMs).toBe(defaultUntilMs);
});

test.for([
  ['is revoked before the last election has left', true],
  ['is not revoked if etcd was never asked for it', false],
] as const)('a lease that is being obtained %s', async ([, isAsked]) => {
  const calls: string[] = [];
  const asked = new Deferred<void>();
  const revoked = new Deferred<object>();
  const end = (): void => undefined;
  const untilAborted = (signal: AbortSignal): Promise<never> =>
    new Promise((_resolve, reject) => {
      asked.resolve();
      signal.addEventListener('abort', () => reject(new EtcdError('aborted', 'aborted', true)));
    });
  const transport = {
    endpoints: ['host'],
    history: new History(),
    isClosed: false,
    unary: (what: string, _invoke: unknown, { signal }: { signal?: AbortSignal }) => {
      calls.push(what);
      return what === 'grant a lease' ? untilAborted(signal!) : revoked.promise;
    },
    stream: (_what: string, _invoke: unknown, { signal }: { signal: AbortSignal }) =>
      isAsked
        ? Promise.resolve({ raw: { on: end, write: end }, onLost: end, close: end })
        : untilAborted(signal),
    onClusterChanged: () => end,
    onClientClosed: () => end,
  } as unknown as EtcdTransport;
  const eventLog = { report: end } as unknown as EventLog;
  const client = {
    transport,
    backoff: new ReconnectBackoff({}),
    log: new SharedLog(),
    lastWill: {} as LastWill,
  };
  const pool = new SessionPool(client, 10);
  const holder = holderOf('e', false);
  pool.join(holder, undefined, eventLog, false);
  const acquired = pool.acquire(new AbortController().signal);
  acquired.catch(end);
  await asked.promise;
  let hasLeft = false;
  const left = pool.leave(holder).then(() => (hasLeft = true));
  await expect.poll(() => calls).toEqual(isAsked ? ['grant a lease', 'revoke the lease'] : []);
  if (isAsked) {
    await new Promise(setImmediate);
    expect(hasLeft).toBe(false);
  }
  revoked.resolve({});
  await left;
  await expect(acquired).rejects.toMatchObject({ kind: 'aborted' });
});
