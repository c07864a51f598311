// Which answers make a renewal count.
import { EventEmitter } from 'node:events';
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { isConfirmed } from '../../src/etcd/confirmation.ts';
import { EtcdError } from '../../src/etcd/etcd-error.ts';
import { KeepAlive } from '../../src/etcd/lease.ts';
import type { EtcdTransport, Host } from '../../src/etcd/transport.ts';
import type { FakeClock } from '../support/fake-clock.ts';

const { fake } = await vi.hoisted(async () => {
  const { FakeClock: Fake } = await import('../support/fake-clock.ts');
  return { fake: new Fake() };
});
vi.mock('../../src/util/clock.ts', async (original) => ({ ...(await original<object>()), clock: fake }));

const clock: FakeClock = fake;
const LEASE = '7';
const TTL = 5;
const LIMITS = { withinMs: 60_000 };
const REST = 'ask what is left of the lease';
const READ = 'confirm the renewal';

class FakeEtcd {
  isProxied: boolean | undefined;
  readonly #listeners = new Set<() => void>();
  readonly history = { known: { raftTerm: 1n }, told: (): void => undefined };
  /** The calls without an answer. */
  readonly open: { readonly what: string; readonly resolve: (answer: unknown) => void }[] = [];
  renewals = 0;
  readonly #raw = Object.assign(new EventEmitter(), { write: (): void => void this.renewals++ });

  stream(): Promise<unknown> {
    const nothing = (): void => undefined;
    const ends = { renewed: nothing, onLost: nothing, close: nothing, fail: nothing, leave: nothing };
    return Promise.resolve({ raw: this.#raw, host: {}, ...ends });
  }

  unary(what: string): Promise<unknown> {
    return new Promise((resolve) => this.open.push({ what, resolve }));
  }

  onProxyKnown(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The number of those who wait until it is known whether there is a proxy. */
  get waiting(): number {
    return this.#listeners.size;
  }

  /** The first answer to a watch arrives. */
  async answerWatch(isProxied: boolean): Promise<void> {
    this.isProxied = isProxied;
    for (const listener of this.#listeners) listener();
    await clock.advance(0);
  }

  get asked(): string[] {
    return this.open.map(({ what }) => what);
  }

  async renew(raftTerm = 1): Promise<void> {
    this.#raw.emit('data', { ID: LEASE, TTL, header: { raft_term: raftTerm } });
    await clock.advance(0);
  }

  async answer(call: string, raftTerm = 1, left = TTL): Promise<void> {
    const at = this.asked.indexOf(call);
    const [{ resolve }] = this.open.splice(at, 1) as [FakeEtcd['open'][number]];
    resolve({ TTL: left, kvs: [], header: { revision: 1, raft_term: raftTerm } });
    await clock.advance(0);
  }
}

let etcd: FakeEtcd;
let lease: KeepAlive;
beforeEach(() => {
  etcd = new FakeEtcd();
  lease = new KeepAlive(etcd as unknown as EtcdTransport, LEASE, () => ({
    key: 'k',
    onRead: () => undefined,
    onDenied: () => undefined,
  }));
  onTestFinished(() => lease.close());
});

/** Sends a renewal. @returns when it was sent, and its result once there is one. */
async function renewal(): Promise<{ sentAtMs: number; result: () => unknown }> {
  const sentAtMs = clock.now();
  let result: unknown;
  void lease.renew(LIMITS).then(
    (proof) => (result = proof),
    (error: unknown) => (result = error),
  );
  await clock.advance(1_000);
  return { sentAtMs, result: () => result };
}

test('a renewal takes two round trips, if it is known by then that there is no proxy', async () => {
  const { sentAtMs, result } = await renewal();
  await etcd.renew();
  expect(etcd.asked.toSorted()).toEqual([REST, READ].toSorted());
  await clock.advance(1_000);
  await etcd.answerWatch(false);
  expect(result()).toBeUndefined();
  await etcd.answer(READ);
  expect(result()).toEqual({ sentAtMs, grantedTtlSeconds: TTL });
});

test('a renewal that a read has confirmed counts as soon as it is known that there is no proxy', async () => {
  const { sentAtMs, result } = await renewal();
  await etcd.renew();
  await clock.advance(1_000);
  await etcd.answer(READ);
  await etcd.answer(REST);
  expect(result()).toBeUndefined();
  await etcd.answerWatch(false);
  expect(result()).toEqual({ sentAtMs, grantedTtlSeconds: TTL });
  await etcd.answer(READ); // the one that would have confirmed the rest
  expect(etcd.waiting).toBe(0);
});

test('a renewal makes no third call, if it is known that there is no proxy', async () => {
  etcd.isProxied = false;
  const { sentAtMs, result } = await renewal();
  await etcd.renew();
  expect(etcd.asked).toEqual([READ]);
  await etcd.answer(READ);
  expect(result()).toEqual({ sentAtMs, grantedTtlSeconds: TTL });
});

// A deposed member may take later renewals of the proxy for its own, and count the rest from them.
test.for([
  ['there is a proxy', true, true],
  ['it is not known whether there is a proxy', undefined, undefined],
  ['a proxy has become known', undefined, true],
] as const)(
  'S2: what is left of the lease counts only after a read that follows it: %s',
  async ([, before, after]) => {
    etcd.isProxied = before;
    const { result } = await renewal();
    await etcd.renew();
    const restAskedAtMs = clock.now();
    await clock.advance(1_000);
    if (before === undefined) await etcd.answer(READ);
    if (after === true) await etcd.answerWatch(true);
    await etcd.answer(REST, 1, TTL - 1);
    expect(result()).toBeUndefined();
    expect(etcd.asked).toEqual([READ]);
    await etcd.answer(READ);
    expect(result()).toEqual({ sentAtMs: restAskedAtMs - 1_000, grantedTtlSeconds: TTL });
    expect(etcd.waiting).toBe(0);
  },
);

test.for([
  ['there is no proxy', false],
  ['it is not known whether there is a proxy', undefined],
] as const)('S2: a renewal does not count if the read shows a later raft term: %s', async ([, isProxied]) => {
  etcd.isProxied = isProxied;
  const { result } = await renewal();
  await etcd.renew();
  await etcd.answerWatch(false);
  await etcd.answer(READ, 2);
  expect(result()).toBeUndefined();
  expect(etcd.renewals).toBe(2);
  await etcd.renew();
  await etcd.answer(READ, 2);
  expect(result()).toMatchObject({ kind: 'unavailable' });
});

test('S2: what is left of the lease does not count if a read after it shows a later raft term', async () => {
  const { result } = await renewal();
  await etcd.renew();
  await etcd.answer(READ);
  await etcd.answer(REST);
  await etcd.answer(READ, 2);
  expect(result()).toBeUndefined();
  expect(etcd.renewals).toBe(2);
});

test.for([
  ['its permission is missing', 'etcdserver: permission denied', 1],
  ['the password is wrong', 'etcdserver: authentication failed, invalid user ID or password', 0],
] as const)(
  'L3: a refused read is counted against the election of its key, or against none: %s',
  async ([, message, blamed]) => {
    const refusal = new EtcdError('refused', `confirm the renewal: ${message}`, false);
    const transport = { unary: () => Promise.reject(refusal) } as unknown as EtcdTransport;
    const onDenied = vi.fn();
    const ownKey = { key: 'k', onRead: () => undefined, onDenied };
    const renewal = { raftTerm: 1n, host: {} as Host };
    await expect(isConfirmed(transport, renewal, ownKey, LIMITS)).rejects.toBe(refusal);
    expect(onDenied).toHaveBeenCalledTimes(blamed);
  },
);
