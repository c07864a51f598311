import { LeadershipLostError, OutcomeUnknownError, RefusedError, UnavailableError } from 'etcd-election';
import { startProxy } from 'etcd-election/dev';
import { describe, expect } from 'vitest';
import { eventually, within } from '../support/eventually.ts';
import { SOON_MS, test } from '../support/world.ts';

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
