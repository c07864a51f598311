import { expect, test } from 'vitest';
import type { Link } from '../../src/etcd/transport.ts';
import type { WatchHub, WatchTarget } from '../../src/etcd/watch.ts';
import { RosterFeed } from '../../src/campaign/queue-watcher.ts';

test("L4: an observer's first read that is answered after a later one is not shown: it is older", async () => {
  const answers: ((revision: string, leader: string) => void)[] = [];
  const link = {
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
  } as unknown as Link;
  let target!: WatchTarget;
  const hub = { watch: (of: WatchTarget) => ((target = of), () => undefined) } as unknown as WatchHub;
  const feed = new RosterFeed(
    { electionKeys: 'e/', link, hub },
    { onChange: () => undefined, onRefused: () => undefined },
  );
  feed.start(undefined, 3_000);
  const { signal } = new AbortController();
  const [first, second] = [target.reload(signal), target.reload(signal)];
  answers[1]!('9', 'bob');
  await second;
  answers[0]!('5', 'alice');
  expect(await first).toBe(5n);
  expect(feed.roster.leader?.value).toBe('bob');
});
