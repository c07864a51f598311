import { expect, test } from 'vitest';
import type { EtcdTransport } from '../../src/etcd/transport.ts';
import type { SharedWatch } from '../../src/etcd/watch.ts';
import type { WatchTarget } from '../../src/etcd/watch-target.ts';
import { QueueWatcher } from '../../src/campaign/queue-watcher.ts';
import { clock } from '../../src/util/clock.ts';

test.for(['5', '12'])(
  'L4: an observer ignores its first read, of revision %s, if a later read is answered earlier',
  async (late) => {
    const answers: ((revision: string, leader: string) => void)[] = [];
    const transport = {
      unary: () =>
        new Promise((resolve) =>
          answers.push((revision, leader) =>
            resolve({
              header: { revision },
              kvs: [
                {
                  key: Buffer.from(`e/${leader}`),
                  value: Buffer.from(leader),
                  create_revision: revision,
                  lease: '1',
                },
              ],
            }),
          ),
        ),
    } as unknown as EtcdTransport;
    let target!: WatchTarget;
    const sharedWatch = {
      watch: (of: WatchTarget) => ((target = of), { end: () => undefined, readAgain: () => undefined }),
    } as unknown as SharedWatch;
    const queueWatcher = new QueueWatcher(
      { keyPrefix: 'e/', transport, sharedWatch },
      { onChange: () => undefined, onRefused: () => undefined, onDoubt: () => undefined },
    );
    queueWatcher.start(undefined, 3_000);
    const { signal } = new AbortController();
    const [first, second] = [target.reload(signal), target.reload(signal)];
    answers[1]!('9', 'bob');
    await second;
    answers[0]!(late, 'alice');
    expect(await first, 'the watch goes on from the answer shown').toBe(9n);
    expect(queueWatcher.queue.leader?.value).toBe('bob');
    queueWatcher.close();
  },
);

test('L4: the answer to our entry confirms the leader for one TTL after the entry was sent', () => {
  const ttlMs = 3_000;
  let target!: WatchTarget;
  const sharedWatch = {
    watch: (of: WatchTarget) => ((target = of), { end: () => undefined, readAgain: () => undefined }),
  } as unknown as SharedWatch;
  const queueWatcher = new QueueWatcher(
    { keyPrefix: 'e/', transport: {} as EtcdTransport, sharedWatch },
    { onChange: () => undefined, onRefused: () => undefined, onDoubt: () => undefined },
  );
  const candidacy = { key: 'e/1', leaseId: '1', createRevision: 5n };
  const entry = { revision: 5n, candidates: [], hidden: 0, candidacy };
  queueWatcher.start({ ...entry, value: 'us', askedAtMs: clock.now() - ttlMs }, ttlMs);
  expect(queueWatcher.isConfirmed).toBe(false);
  target.onConfirmed(clock.now());
  expect(queueWatcher.isConfirmed).toBe(true);
  queueWatcher.close();
});
