import type { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import type { IWatchResponse } from 'etcd3';
import type { QueueEvent } from '../../src/core/candidate-queue.ts';
import { eventually } from '../support/eventually.ts';
import { fakeStream, isProbe, message, PROBED, rangeOf, watchThrough } from '../support/fake-watch.ts';

// An etcd whose tokens become invalid as soon as a stream is open. It denies each further watch on the stream, and
// continues the existing ones.

const NOTICE_WITHIN_MS = 30;
const WATCH_MS = 600;
/** How long a step may take on a busy machine, in milliseconds. */
const SOON_MS = 5_000;

class ForgetfulEtcd {
  readonly streams: EventEmitter[] = [];
  probes = 0;
  lastWatchId = '';
  /** Accepts this many probes of each stream. */
  readonly #yes: number;
  readonly #denies: boolean;

  constructor({ yes, deniesAll = false }: { yes: number; deniesAll?: boolean }) {
    this.#yes = yes;
    this.#denies = deniesAll;
  }

  readonly open = (): EventEmitter => {
    let probes = 0;
    const no = message({
      watch_id: '-1',
      created: true,
      canceled: true,
      cancel_reason: 'etcdserver: permission denied',
    });
    const stream = fakeStream((asked, raw) => {
      const say = (said: IWatchResponse): void => void setImmediate(() => raw.emit('data', said));
      const yes = message({ watch_id: String(asked.watch_id), created: true });
      const isOfNothing = isProbe(asked);
      if (isOfNothing || asked.filters !== undefined) {
        this.probes++;
        const answered = isOfNothing ? { ...no, ...PROBED } : yes;
        say(++probes <= this.#yes ? answered : no);
      } else {
        this.lastWatchId = String(asked.watch_id);
        say(this.#denies ? no : yes);
      }
    });
    this.streams.push(stream);
    return stream;
  };
}

const ends: (() => void)[] = [];
afterEach(() => ends.splice(0).forEach((end) => end()));

function watch(etcd: ForgetfulEtcd, paceMs = 0) {
  const seen = { reads: 0, events: [] as QueueEvent[], lost: 0 };
  const sharedWatch = watchThrough(etcd.open, paceMs, { onLost: () => seen.lost++ });
  const target = rangeOf('election/e/', () => Promise.resolve(BigInt(++seen.reads)), {
    onEvents: (events) => void seen.events.push(...events),
  });
  ends.push(sharedWatch.watch(target, NOTICE_WITHIN_MS, 1n).end);
  return seen;
}

test('G5, L4: tokens that expire at once cost one new stream, not one per probe; the watch continues', async () => {
  const etcd = new ForgetfulEtcd({ yes: 1 });
  const seen = watch(etcd);
  await sleep(WATCH_MS);
  await eventually(() => etcd.probes > 10, { withinMs: SOON_MS }); // silence is interrupted as before

  expect(etcd.streams).toHaveLength(2);
  expect(seen).toMatchObject({ lost: 1, reads: 2 });
  const kv = {
    key: Buffer.from('election/e/a1'),
    value: Buffer.from('v'),
    create_revision: '7',
    lease: '161',
  };
  etcd.streams[1]!.emit('data', message({ watch_id: etcd.lastWatchId, events: [{ type: 'Put', kv }] }));
  expect(seen.events).toHaveLength(1);
});

test('L4: a probe without an answer is a lost stream, whatever was denied before', async () => {
  const etcd = new ForgetfulEtcd({ yes: 1 });
  const seen = watch(etcd);
  await eventually(() => etcd.streams.length === 2, { withinMs: SOON_MS });
  Object.assign(etcd.streams[1]!, { write: () => undefined });
  await eventually(() => etcd.streams.length > 2 && seen.lost > 1, { withinMs: SOON_MS });
});

test('L3: a denied watch is never mistaken for the probe', async () => {
  const etcd = new ForgetfulEtcd({ yes: Infinity, deniesAll: true });
  const begunAtMs = performance.now();
  const seen = watch(etcd, 50);
  await sleep(WATCH_MS);
  await eventually(() => seen.lost > 2, { withinMs: SOON_MS });
  expect(etcd.streams.length).toBeLessThanOrEqual(2 + (performance.now() - begunAtMs) / 50);
});
