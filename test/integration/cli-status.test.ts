import { describe, expect } from 'vitest';
import { test, TTL_SECONDS } from '../support/world.ts';
import { cli, json, START_MS } from '../support/cli-program.ts';

// `status` shows the queue, and so do the other commands that read it, however long it is.

describe('status', () => {
  test('shows the leader, the waiting candidates and their lease times; exits with 3 without a leader', async ({
    etcd,
    prefix,
    candidate,
  }) => {
    const run = cli(etcd.endpoints, prefix);
    const empty = run(['status', 'e']);
    expect(await empty.exit()).toBe(3);
    expect(empty.stdout).toMatch(/^prefix \S+, cluster \d+, at http:\S+\ne: nobody leads\n$/);
    const term = await candidate('alice').campaign();
    const bob = candidate('bob');
    void bob.campaign();
    await bob.queued();

    const [text, document, all] = [
      run(['status', 'e']),
      run(['status', 'e', '--json']),
      run(['status', '--json']),
    ];

    expect(await text.exit()).toBe(0);
    expect(text.stdout).toMatch(
      new RegExp(
        `^prefix ${prefix}, cluster \\d+, at ${etcd.endpoints.join(', ')}\ne\n\\* leads  alice  token ${term.fencingToken} +\\d of ${TTL_SECONDS} s left\n  2      bob    token \\d+  `,
      ),
    );
    expect(await document.exit()).toBe(0);
    expect(json(document)).toMatchObject({
      election: 'e',
      leader: {
        value: 'alice',
        fencingToken: String(term.fencingToken),
        key: term.key,
        leaseId: term.leaseId,
      },
      prefix,
      clusterId: expect.stringMatching(/^\d+$/) as string,
      candidates: [{ position: 1 }, { position: 2, value: 'bob', ttlGrantedSeconds: TTL_SECONDS }],
    });
    expect(await all.exit()).toBe(0);
    expect(json(all)).toEqual([expect.objectContaining({ election: 'e' })]);
  });
});

test('a queue that is larger than one reply of etcd', async ({ etcd, prefix, world }) => {
  const value = 'v'.repeat(16_000);
  await Promise.all(
    Array.from({ length: 300 }, (_, index) => world.own.put(`${prefix}e/${index}`).value(value).exec()),
  );
  await world.own.put(`${prefix}e/doc`).value('d'.repeat(1_000_000)).exec();
  const run = cli(etcd.endpoints, prefix);
  const [text, document, watch] = [run(['status', 'e']), run(['status', '--json']), run(['watch', 'e'])];
  expect(await text.exit()).toBe(0);
  expect(text.stdout.split('\n')).toHaveLength(2 + 301 + 1);
  expect(await document.exit()).toBe(0);
  expect((json(document) as unknown as { candidates: object[] }[])[0]!.candidates).toHaveLength(301);
  await watch.says(/leads/, START_MS);
  expect(watch.stdout).not.toContain('unknown');
  watch.child.kill('SIGINT');
  await watch.exit();
  const evict = run(['evict', 'e', '--yes']);
  expect(await evict.exit()).toBe(0);
  expect(evict.stdout.length).toBeLessThan(300);
});
