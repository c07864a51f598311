import { setTimeout as sleep } from 'node:timers/promises';
import { ElectionError, InvalidInputError, LeadershipLostError, type Term } from 'etcd-election';
import { startEtcd, startProxy } from 'etcd-election/dev';
import { describe, expect } from 'vitest';
import { eventually, within } from '../support/eventually.ts';
import { abortOf, SHORT_TTL_SECONDS, SOON_MS, test } from '../support/world.ts';

describe('put and delete', () => {
  test('S1: write one key during the term, and throw after it', async ({ world, candidate, prefix }) => {
    const alice = candidate('alice');
    const term = await alice.campaign();
    await term.put(`${prefix}text`, 'ä');
    await term.put(Buffer.from(`${prefix}bytes`), new Uint8Array([0, 255]));
    expect(await world.own.get(`${prefix}text`).string()).toBe('ä');
    expect(await world.own.get(`${prefix}bytes`).buffer()).toEqual(Buffer.from([0, 255]));
    await term.delete(`${prefix}text`);
    await term.delete(`${prefix}text`);
    expect(await world.own.get(`${prefix}text`).string()).toBeNull();

    await world.own.delete().key(term.key).exec();
    await expect(term.put(`${prefix}text`, 'zombie')).rejects.toBeInstanceOf(LeadershipLostError);
    await expect(term.delete(`${prefix}bytes`)).rejects.toBeInstanceOf(LeadershipLostError);
    expect(await world.own.get(`${prefix}text`).string()).toBeNull();
    expect(await world.own.get(`${prefix}bytes`).buffer()).not.toBeNull();
  });

  test('refuse an invalid key or value by name', async ({ candidate }) => {
    const term = await candidate('alice').campaign();
    const wrong = [
      [() => term.put('', 'x'), /key for put\(\).*not empty/],
      [() => term.put(7 as never, 'x'), /key for put\(\).*got 7/],
      [() => term.put('k', { a: 1 } as never), /value for put\(\).*got an object/],
      [() => term.put('k', undefined as never), /value for put\(\).*got undefined/],
      [() => term.put('k', 'v', { exactlyonce: true } as never), /no option "exactlyonce"/],
      [() => term.delete('' as never), /key for delete\(\)/],
      [() => term.put('k', 'v', true as never), /expected an object, got true/],
      [() => term.put('k \ud83d', 'v'), /key for put\(\).*well-formed Unicode/],
      [() => term.put('k', 'v \ud83d'), /value for put\(\).*well-formed Unicode/],
      [() => term.delete('k \ud83d'), /key for delete\(\).*well-formed Unicode/],
      [
        () =>
          term
            .txn()
            .then('k' as never)
            .commit(),
        /expected operations, such as .* got "k"/,
      ],
    ] as const;
    for (const [call, said] of wrong) {
      const refused = call();
      await expect(refused).rejects.toBeInstanceOf(InvalidInputError);
      await expect(refused).rejects.toThrow(said);
    }
  });
});

describe('a candidate key', () => {
  test('is not written under a term, because it would stay in the queue for ever', async ({
    world,
    candidate,
  }) => {
    const alice = candidate('alice');
    const term = await alice.campaign();
    const progress = term.key.replace(/[^/]*$/, 'progress');
    const write = world.own.put(progress).value('1');
    const calls = [
      () => term.put(progress, '1'),
      () => term.put(Buffer.from(progress), '1'),
      () => term.put(term.key, '1'),
      () => term.txn().then(write).commit(),
      () => term.txn().and(progress, 'Version', '==', 0).else(write).commit(),
    ];
    for (const call of calls) {
      const refused = call();
      await expect(refused).rejects.toBeInstanceOf(InvalidInputError);
      await expect(refused).rejects.toThrow(
        /expected a key that does not begin with ".*each key there is a candidate/,
      );
    }
    expect(await alice.election.candidates()).toHaveLength(1);
    await term.put(`${progress}/further`, '1'); // the key of another election
    expect(await alice.election.candidates()).toHaveLength(1);
  });
});

describe('a transaction without commit()', () => {
  const unawaited = async (build: () => unknown): Promise<unknown> => build();

  test('rejects with advice if it is awaited, or returned from an async function', async ({
    world,
    candidate,
    prefix,
    log,
  }) => {
    const term = await candidate('alice').campaign();
    const write = () => term.txn().then(world.own.put(`${prefix}state`).value('x'));
    for (const mistake of [unawaited(write), unawaited(() => term.txn()), Promise.resolve(write())]) {
      const rejected = within(SOON_MS, 'an answer', mistake);
      await expect(rejected).rejects.toBeInstanceOf(InvalidInputError);
      await expect(rejected).rejects.toThrow(/call \.commit\(\), and await that\. Nothing was written/);
    }
    expect(() => term.txn().then((() => undefined) as never)).toThrow(InvalidInputError);
    expect(await world.own.get(`${prefix}state`).string()).toBeNull();
    expect(log.of('txn.uncommitted').length).toBeLessThanOrEqual(1);
  });

  test('is logged once; a committed one is not', async ({ world, candidate, prefix, log }) => {
    const term = await candidate('alice').campaign();
    const put = () => term.txn().then(world.own.put(`${prefix}state`).value('x'));
    await put().commit();
    await sleep(1_500);
    expect(log.of('txn.uncommitted')).toEqual([]);

    put();
    put();
    await eventually(() => log.of('txn.uncommitted').length > 0, { withinMs: SOON_MS });
    put();
    await sleep(1_500);
    expect(log.of('txn.uncommitted')).toHaveLength(1);
  });
});

/** The simplest kind of work: only fenced writes. */
const writing =
  (key: string, options?: { exactlyOnce: boolean }) =>
  async (term: Term): Promise<void> => {
    while (term.isCurrent()) {
      await term.put(key, 'x', options).catch((error: unknown) => {
        if (!(error instanceof ElectionError)) throw error;
      });
    }
  };

describe('writes that are in flight when the term ends', () => {
  test.for([
    ['plain', undefined],
    ['exactlyOnce', { exactlyOnce: true }],
  ] as const)(
    'S5: without an answer from etcd they settle within the drain (%s)',
    async ([, options], { candidate, prefix, etcd, log }) => {
      await using proxy = await startProxy({ target: etcd.endpoints[0]! });
      const alice = candidate('alice', {
        hosts: proxy.endpoint,
        ttlSeconds: SHORT_TTL_SECONDS,
        onLeader: writing(`${prefix}state`, options),
      });
      const term = await alice.campaign();
      proxy.stall();
      await within(2 * SHORT_TTL_SECONDS * 1_000 + SOON_MS, 'the end of the term', abortOf(term.signal));
      const isOver = () => alice.election.status.term !== term && alice.election.status.state !== 'leaving';
      await eventually(isOver, { withinMs: SHORT_TTL_SECONDS * 1_000 + SOON_MS });
      await proxy.restore();
      proxy.resume();

      expect(log.of('drain.overdue')).toEqual([]);
      expect(alice.election.health().healthy).toBe(true);
    },
  );

  test('S1: a sent one has an unknown outcome, and one that was not sent is lost', async ({
    candidate,
    prefix,
    etcd,
  }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const alice = candidate('alice', { hosts: proxy.endpoint, drainTimeoutMs: 800 });
    const term = await alice.campaign();
    proxy.stall();
    const MANY = 200; // more than may be in flight at once
    const writes = Array.from({ length: MANY }, (_, index) => term.put(`${prefix}${index}`, 'x'));
    const settled = Promise.allSettled(writes);
    void alice.election.stepDown();
    const codes = (await within(800 + SOON_MS, 'all outcomes', settled)).map((outcome) =>
      outcome.status === 'rejected' ? (outcome.reason as ElectionError).code : 'written',
    );
    expect(new Set(codes)).toEqual(new Set(['ELECTION_OUTCOME_UNKNOWN', 'ELECTION_LEADERSHIP_LOST']));
    await proxy.restore();
    proxy.resume();
  });
});

test('G5: hundreds of writes that fail for lack of space cause one line', async ({
  world,
  candidate,
  prefix,
  log,
}) => {
  await using full = await startEtcd({ extraArgs: [`--quota-backend-bytes=${2 * 1024 * 1024}`] });
  const alice = candidate('alice', { hosts: full.endpoints });
  const term = await alice.campaign();
  const fill = Array.from({ length: 8 }, (_, index) => term.put(`${prefix}${index}`, 'x'.repeat(500_000)));
  await Promise.allSettled(fill);
  for (let round = 0; round < 3; round++)
    await Promise.allSettled(Array.from({ length: 100 }, (_, index) => term.put(`${prefix}${index}`, 'x')));

  expect(log.of('write.failed')).toHaveLength(1);
  expect(log.of('write.failed')[0]).toMatchObject({ reason: expect.stringMatching(/space exceeded/) });
  // Their outcome is certain, because etcd has answered.
  await expect(term.put(`${prefix}once`, 'x', { exactlyOnce: true })).rejects.toMatchObject({
    code: 'ELECTION_UNAVAILABLE',
  });
  expect(world.toString()).toContain('write.failed');
});
