import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  InvalidInputError,
  LeadershipLostError,
  OutcomeUnknownError,
  RefusedError,
  UnavailableError,
} from 'etcd-election';
import { startProxy } from 'etcd-election/dev';
import { describe, expect, onTestFinished } from 'vitest';
import { eventually, within } from '../support/eventually.ts';
import { abortOf, SOON_MS, test, TTL_SECONDS } from '../support/world.ts';

describe('a term', () => {
  test('S3: leads under its own key and its own lease, and reports both', async ({
    world,
    candidate,
    prefix,
  }) => {
    const term = await candidate('alice').campaign();

    const [kv, ...others] = (await world.own.getAll().prefix(`${prefix}e/`).exec()).kvs;
    expect(others).toEqual([]);
    expect(kv?.key.toString()).toBe(term.key);
    expect(term.key).toBe(`${prefix}e/${BigInt(term.leaseId).toString(16)}`);
    expect(kv).toMatchObject({ lease: term.leaseId, create_revision: term.fencingToken.toString() });
    expect(kv?.value.toString()).toBe('alice');
    expect(term).toMatchObject({ election: 'e', value: 'alice' });
  });

  test('S2: is current until the deadline of its lease, and not a moment longer', async ({ candidate }) => {
    const alice = candidate('alice');
    const term = await alice.campaign();

    expect(term.isCurrent()).toBe(true);
    expect(() => term.assertCurrent()).not.toThrow();
    expect(term.remainingMs()).toBeGreaterThan(0);
    expect(term.remainingMs()).toBeLessThanOrEqual(TTL_SECONDS * 900); // the TTL less the margin
    expect(term.signal.aborted).toBe(false);

    const resigning = alice.election.resign();
    expect(term.signal.aborted).toBe(true); // synchronously, before any await
    expect(term.isCurrent()).toBe(false);
    expect(term.remainingMs()).toBe(0);
    expect(() => term.assertCurrent()).toThrow(LeadershipLostError);
    expect(term.signal.reason).toBeInstanceOf(LeadershipLostError);
    expect(term.signal.reason).toMatchObject({ reason: 'resigned', fencingToken: term.fencingToken });
    await resigning;
  });

  test('S2: counts from when a renewal was sent, not from when its answer arrived', async ({
    candidate,
    etcd,
    log,
  }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const term = await candidate('alice', { hosts: proxy.endpoint }).campaign();
    const eachWayMs = 150; // a renewal makes two round trips, and each may take 1.5 s
    proxy.slow(eachWayMs);
    let leftMs = Number.POSITIVE_INFINITY;
    const look = (): void => void (leftMs = term.remainingMs());
    subscribe('etcd-election:session.renewed', look);
    onTestFinished(() => void unsubscribe('etcd-election:session.renewed', look));

    const before = log.of('session.renewed').length;
    await eventually(() => log.of('session.renewed').length > before, { withinMs: TTL_SECONDS * 1_000 });

    expect(leftMs).toBeGreaterThan(0);
    expect(leftMs).toBeLessThanOrEqual(TTL_SECONDS * 900 - 2 * eachWayMs);
  });

  test('S1: tokens of an election strictly increase', async ({ candidate, history }) => {
    const alice = candidate('alice');
    for (let round = 0; round < 3; round++) {
      await alice.campaign();
      await alice.election.resign();
    }
    const bob = candidate('bob');
    await bob.campaign();
    const tokens = history.tokens();
    expect(tokens).toHaveLength(4);
    expect(tokens).toEqual([...new Set(tokens)].sort((a, b) => Number(a - b)));
  });
});

describe('proclaim', () => {
  test('changes the value, but neither the key nor the token', async ({ world, candidate }) => {
    const term = await candidate('alice').campaign('10.0.0.7');

    await term.proclaim('10.0.0.8');

    expect(term.value).toBe('10.0.0.8');
    const kv = (await world.own.getAll().prefix(term.key).exec()).kvs[0];
    expect(kv?.value.toString()).toBe('10.0.0.8');
    expect(kv?.create_revision).toBe(term.fencingToken.toString());
    expect(kv?.lease).toBe(term.leaseId);
  });

  test('is refused after the term, and writes nothing', async ({ world, candidate }) => {
    const alice = candidate('alice');
    const term = await alice.campaign();
    await alice.election.resign();
    await expect(term.proclaim('ghost')).rejects.toBeInstanceOf(LeadershipLostError);
    expect(await world.keys()).toEqual([]);
  });

  test('S1: reports lost leadership if the key was deleted', async ({ world, candidate }) => {
    const term = await candidate('alice').campaign();
    await world.own.delete().key(term.key).exec();
    await expect(term.proclaim('ghost')).rejects.toBeInstanceOf(LeadershipLostError);
  });

  test.for([
    ['a number', 7],
    ['nothing', undefined],
    ['a megabyte', 'x'.repeat(1_000_000)],
  ] as const)('%s is refused as bad input', async ([, value], { candidate }) => {
    const term = await candidate('alice').campaign();
    await expect(term.proclaim(value as string)).rejects.toBeInstanceOf(InvalidInputError);
    expect(term.value).toBe('alice');
    expect(term.isCurrent()).toBe(true);
  });

  test('is also the effect of campaign() with another value during a campaign', async ({
    candidate,
    election,
    client,
  }) => {
    const alice = candidate('alice');
    const term = await alice.campaign();
    const watcher = election(client());

    expect(await alice.campaign('alice at another address')).toBe(term);

    await eventually(async () => (await watcher.leader())?.value === 'alice at another address', {
      withinMs: SOON_MS,
    });
    // Another client may see the change before etcd's answer reaches us.
    await eventually(() => term.value === 'alice at another address', { withinMs: SOON_MS });
  });

  test('also sets the value for the next term', async ({ candidate }) => {
    const alice = candidate('alice');
    await (await alice.campaign()).proclaim('moved');
    await alice.election.stepDown();
    expect((await alice.elected()).value).toBe('moved');
  });
});

describe('txn', () => {
  test('S1: commits during the term', async ({ world, candidate, prefix }) => {
    const term = await candidate('alice').campaign();
    const { succeeded } = await term
      .txn()
      .then(world.own.put(`${prefix}state`).value('1'))
      .commit();
    expect(succeeded).toBe(true);
    expect(await world.own.get(`${prefix}state`).string()).toBe('1');
  });

  test("S1: also requires the caller's own comparisons", async ({ world, candidate, prefix }) => {
    const term = await candidate('alice').campaign();
    const { succeeded } = await term
      .txn()
      .and(`${prefix}state`, 'Value', '==', '0')
      .then(world.own.put(`${prefix}state`).value('1'))
      .else(world.own.put(`${prefix}refused`).value('yes'))
      .commit();
    expect(succeeded).toBe(false);
    expect(await world.own.get(`${prefix}refused`).string()).toBe('yes');
  });

  test("S1: returns the user's part of the answer: responses and revision", async ({
    world,
    candidate,
    prefix,
  }) => {
    const term = await candidate('alice').campaign();
    const key = `${prefix}state`;
    for (const write of [term.txn(), term.txn().and(key, 'Version', '>', 0)]) {
      const answer = await write.then(world.own.put(key).value('1'), world.own.get(key)).commit();
      expect(answer.succeeded).toBe(true);
      expect(answer.responses).toHaveLength(2);
      const [kv] = answer.responses[1]!.response_range.kvs;
      expect(kv?.value.toString()).toBe('1');
      expect(answer.header.revision).toBe(kv?.mod_revision);
    }
  });

  test.for([
    ['plain', false],
    ['with a comparison that holds', true],
  ] as const)(
    'S1: without the key writes neither branch, and reports lost leadership: %s',
    async ([, compares], { world, candidate, prefix }) => {
      const term = await candidate('alice').campaign();
      const write = term
        .txn()
        .then(world.own.put(`${prefix}then`).value('zombie'))
        .else(world.own.put(`${prefix}else`).value('zombie'));
      if (compares) write.and(`${prefix}then`, 'Create', '==', 0);
      await world.own.delete().key(term.key).exec();

      await expect(write.commit()).rejects.toMatchObject({ name: 'LeadershipLostError', reason: 'evicted' });

      expect(await world.own.get(`${prefix}then`).string()).toBeNull();
      expect(await world.own.get(`${prefix}else`).string()).toBeNull();
    },
  );

  test('S1: without writes asks etcd too', async ({ world, candidate, prefix }) => {
    const term = await candidate('alice').campaign();
    const asked = [
      term.txn(),
      term.txn().then(world.own.get(`${prefix}state`)),
      term.txn().then(world.own.get(`${prefix}state`).serializable(true)),
    ];
    await world.own.delete().key(term.key).exec();
    for (const txn of asked) await expect(txn.commit()).rejects.toBeInstanceOf(LeadershipLostError);
  });

  test('a refusal names the write and gives advice, and the term continues', async ({
    world,
    candidate,
    prefix,
  }) => {
    const term = await candidate('alice').campaign();
    const put = (key: string) => world.own.put(`${prefix}${key}`).value('1');
    const many = Array.from({ length: 200 }, (_, index) => put(`many/${index}`));
    const refusals = [
      [term.txn().then(...many), /too many operations.*at most 126 operations/s],
      [
        term
          .txn()
          .and(`${prefix}x`, 'Version', '==', 0)
          .then(...many),
        /at most 126 operations/,
      ],
      [term.txn().then(put('twice'), put('twice')), /duplicate key.*each key once/s],
      [term.txn().then(put('leased').lease('4711')), /lease not found.*use a new lease/s],
    ] as const;
    for (const [txn, said] of refusals) {
      const refused = txn.commit();
      await expect(refused).rejects.toBeInstanceOf(RefusedError);
      await expect(refused).rejects.toThrow(said);
      await expect(refused).rejects.toThrow(/a write of election "e".*nothing was written/);
    }
    expect(await world.own.getAll().prefix(`${prefix}many/`).keys()).toEqual([]);
    expect(term.isCurrent()).toBe(true);
  });

  test('accepts 126 operations in each branch', async ({ world, candidate, prefix }) => {
    const term = await candidate('alice').campaign();
    const puts = (branch: string) =>
      Array.from({ length: 126 }, (_, index) => world.own.put(`${prefix}${branch}/${index}`).value('1'));
    const { succeeded } = await term
      .txn()
      .and(`${prefix}x`, 'Version', '==', 0)
      .then(...puts('then'))
      .else(...puts('else'))
      .commit();
    expect(succeeded).toBe(true);
  });

  test('S4: a failed fence ends the term at once', async ({ world, candidate, prefix, log }) => {
    const alice = candidate('alice');
    const term = await alice.campaign();
    const { client } = alice;
    await world.own.delete().key(term.key).exec();
    const lost: unknown = await term
      .put(`${prefix}x`, 'y')
      .catch((error: unknown) => ({ error, isCurrent: term.isCurrent(), aborted: term.signal.aborted }));
    expect(lost).toMatchObject({ error: { reason: 'evicted' }, isCurrent: false, aborted: true });
    await eventually(() => log.of('term.ended').length > 0, { withinMs: SOON_MS }); // the line is written at the end of the turn
    expect(log.of('term.ended')).toMatchObject([{ reason: 'evicted' }]);
    expect(await client.get(`${prefix}x`).string()).toBeNull();
  });

  test('S1: prepared in the term and committed after it, is not sent', async ({
    world,
    candidate,
    prefix,
  }) => {
    const alice = candidate('alice');
    const term = await alice.campaign();
    const late = term.txn().then(world.own.put(`${prefix}state`).value('late'));
    await alice.election.stepDown();
    const next = await alice.elected();
    await expect(late.commit()).rejects.toBeInstanceOf(LeadershipLostError);
    expect(next.isCurrent()).toBe(true);
    expect(await world.own.get(`${prefix}state`).string()).toBeNull();
  });

  test('S1: with a lost answer reports an unknown outcome, and does not repeat the write', async ({
    world,
    candidate,
    prefix,
    etcd,
  }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const term = await candidate('alice', { hosts: proxy.endpoint }).campaign();

    proxy.loseReplies();
    const read = term
      .txn()
      .then(world.own.get(`${prefix}state`))
      .commit();
    const commit = term
      .txn()
      .then(world.own.put(`${prefix}state`).value('once'))
      .commit();
    const put = term.put(`${prefix}other`, '1');
    await Promise.all([
      expect(put).rejects.toThrow(/: term\.put\(\): /),
      expect(read, 'a lost answer to a read changes nothing').rejects.toBeInstanceOf(UnavailableError),
      expect(commit).rejects.toBeInstanceOf(OutcomeUnknownError),
    ]);
    await expect(commit).rejects.toThrow(
      /: term\.txn\(\): .*may still happen, until the key of this term is gone.*mod_revision.*call term\.stepDown\(\)/,
    );
    await proxy.restore();

    const kv = (await world.own.getAll().prefix(`${prefix}state`).exec()).kvs[0];
    expect(kv?.version).toBe('1');
    await within(
      SOON_MS,
      'the link to heal',
      eventually(() => term.isCurrent(), { withinMs: SOON_MS }),
    );
  });
});

describe('heartbeat', () => {
  const progressTimeoutMs = 400;

  test('a leader whose work makes progress keeps its term', async ({ candidate }) => {
    const alice = candidate('alice', { progressTimeoutMs });
    const term = await alice.campaign();
    const beating = setInterval(() => term.heartbeat(), progressTimeoutMs / 8);
    await sleep(3 * progressTimeoutMs);
    clearInterval(beating);
    expect(term.isCurrent()).toBe(true);
  });

  test('a leader whose work is stuck steps down, and the next one leads', async ({ candidate, history }) => {
    const alice = candidate('alice', { progressTimeoutMs });
    const term = await alice.campaign();
    const bob = candidate('bob');
    void bob.campaign();
    await bob.queued();

    expect(
      await within(2 * progressTimeoutMs + SOON_MS, 'the end of the term', abortOf(term.signal)),
    ).toMatchObject({
      reason: 'no-progress',
    });
    await bob.elected();
    await alice.queued();
    expect(history.leadersAtOnce()).toBe(1);
  });
});
