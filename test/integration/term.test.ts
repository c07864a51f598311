import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { setTimeout as sleep } from 'node:timers/promises';
import { InvalidInputError, LeadershipLostError } from 'etcd-election';
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
