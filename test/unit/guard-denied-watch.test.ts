import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import type { IWatchResponse } from 'etcd3';
import type { QueueEvent } from '../../src/core/candidate-queue.ts';
import { History } from '../../src/etcd/history.ts';
import type { EtcdTransport, OpenStream } from '../../src/etcd/transport.ts';
import { SharedWatch } from '../../src/etcd/watch.ts';

// An etcd whose tokens are void as soon as a stream is open: each further watch on it is denied, those that stand go on.

const NOTICE_WITHIN_MS = 30;
const WATCH_MS = 600;

interface Asked {
  create_request?: { watch_id: number; key: Buffer; range_end?: Buffer; filters?: readonly string[] };
}

const answer = (more: Partial<Record<keyof IWatchResponse, unknown>>): IWatchResponse =>
  ({
    header: { revision: '9' },
    watch_id: '0',
    created: false,
    canceled: false,
    compact_revision: '0',
    events: [],
    ...more,
  }) as never;

class ForgetfulEtcd {
  readonly streams: EventEmitter[] = [];
  probes = 0;
  lastWatchId = '';
  /** Says yes to so many probes of each stream. */
  readonly #yes: number;
  readonly #denies: boolean;

  constructor({ yes, deniesAll = false }: { yes: number; deniesAll?: boolean }) {
    this.#yes = yes;
    this.#denies = deniesAll;
  }

  get transport(): EtcdTransport {
    const transport: Partial<EtcdTransport> = {
      history: new History(),
      provenAtMs: Number.POSITIVE_INFINITY,
      stream: () => Promise.resolve(this.#open() as OpenStream<never, never>),
    };
    return transport as EtcdTransport;
  }

  #open(): OpenStream<never, never> {
    const raw = new EventEmitter();
    this.streams.push(raw);
    let probes = 0;
    const say = (message: IWatchResponse): void => void setImmediate(() => raw.emit('data', message));
    const no = answer({
      watch_id: '-1',
      created: true,
      canceled: true,
      cancel_reason: 'etcdserver: permission denied',
    });
    const write = ({ create_request: asked }: Asked): void => {
      if (asked === undefined) return;
      const yes = answer({ watch_id: String(asked.watch_id), created: true });
      const isOfNothing = asked.range_end?.equals(asked.key) === true;
      if (isOfNothing || asked.filters !== undefined) {
        this.probes++;
        const answered = isOfNothing ? { ...no, cancel_reason: 'mvcc: watcher range is empty' } : yes;
        say(++probes <= this.#yes ? answered : no);
      } else {
        this.lastWatchId = String(asked.watch_id);
        say(this.#denies ? no : yes);
      }
    };
    const nothing = (): void => undefined;
    return { raw: Object.assign(raw, { write }), onLost: nothing, close: nothing, fail: nothing } as never;
  }
}

const ends: (() => void)[] = [];
afterEach(() => ends.splice(0).forEach((end) => end()));

function watch(etcd: ForgetfulEtcd, paceMs = 0) {
  const seen = { reads: 0, events: [] as QueueEvent[], lost: 0 };
  const sharedWatch = new SharedWatch({
    transport: etcd.transport,
    backoff: { pass: () => sleep(paceMs), healthyFor: () => undefined, wake: () => undefined },
    onLost: () => seen.lost++,
    onHealed: () => undefined,
    onUnconfirmed: () => undefined,
    onProxied: () => undefined,
  });
  const target = {
    electionKeys: 'election/e/',
    keys: undefined,
    reload: () => Promise.resolve(BigInt(++seen.reads)),
    onEvents: (events: readonly QueueEvent[]) => void seen.events.push(...events),
    onConfirmed: () => undefined,
    onRefused: () => undefined,
  };
  ends.push(sharedWatch.watch(target, NOTICE_WITHIN_MS, 1n).end);
  return seen;
}

test('G5, L4: tokens that run out at once cost one new stream, not one with each probe; the watch goes on', async () => {
  const etcd = new ForgetfulEtcd({ yes: 1 });
  const seen = watch(etcd);
  await sleep(WATCH_MS);

  expect(etcd.streams).toHaveLength(2);
  expect(seen).toMatchObject({ lost: 1, reads: 2 });
  expect(etcd.probes).toBeGreaterThan(10); // silence is broken as before
  const kv = {
    key: Buffer.from('election/e/a1'),
    value: Buffer.from('v'),
    create_revision: '7',
    lease: '161',
  };
  etcd.streams[1]!.emit('data', answer({ watch_id: etcd.lastWatchId, events: [{ type: 'Put', kv }] }));
  expect(seen.events).toHaveLength(1);
});

test('L4: a probe without any answer is a stream lost, whatever was denied before', async () => {
  const etcd = new ForgetfulEtcd({ yes: 1 });
  const seen = watch(etcd);
  await sleep(WATCH_MS / 2);
  expect(etcd.streams).toHaveLength(2);
  Object.assign(etcd.streams[1]!, { write: () => undefined });
  await sleep(WATCH_MS / 2);
  expect(etcd.streams.length).toBeGreaterThan(2);
  expect(seen.lost).toBeGreaterThan(1);
});

test('L3: a watch of its own that is denied is never taken for the probe', async () => {
  const etcd = new ForgetfulEtcd({ yes: Infinity, deniesAll: true });
  const seen = watch(etcd, 50);
  await sleep(WATCH_MS);
  expect(seen.lost).toBeGreaterThan(2);
  expect(etcd.streams.length).toBeLessThanOrEqual(2 + WATCH_MS / 50);
});
