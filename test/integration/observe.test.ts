import { getEventListeners } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Election } from 'etcd-election';
import { startProxy } from 'etcd-election/dev';
import { describe, expect } from 'vitest';
import { sharedClientOf } from '../../src/client/shared-client.ts';
import { eventually, within } from '../support/eventually.ts';
import { RecordedLog } from '../support/recorded-log.ts';
import { SOON_MS, test, type World } from '../support/world.ts';
import { observed, sees } from '../support/observed.ts';

type Leaders = ReturnType<Election['observe']>;

/** Collects garbage, as a busy process does sooner or later. */
function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

/** A key in the queue from another library. */
async function foreign(world: World, key: string, value: string): Promise<string> {
  const { header } = await world.own.put(`${world.prefix}e/${key}`).value(value).exec();
  return header.revision;
}

describe('observe()', () => {
  test('yields the present state first, then every change, also that nobody leads', async ({
    candidate,
    election,
    client,
  }) => {
    const { seen, over } = observed(election(client(), 'e').observe());
    await sees(seen, 'nobody');

    const alice = candidate('alice');
    const term = await alice.campaign();
    await sees(seen, 'nobody', 'alice');
    await term.proclaim('alice, moved');
    await sees(seen, 'nobody', 'alice', 'alice, moved');
    await alice.election.resign();
    await sees(seen, 'nobody', 'alice', 'alice, moved', 'nobody');
    await candidate('bob').campaign();
    await sees(seen, 'nobody', 'alice', 'alice, moved', 'nobody', 'bob');

    let ended = false;
    void over.then(() => (ended = true));
    await turn();
    expect(ended).toBe(false);
  });

  test('started late, yields the leader at once, and ignores followers', async ({
    candidate,
    election,
    client,
  }) => {
    await candidate('alice').campaign();
    const { seen } = observed(election(client()).observe());
    await sees(seen, 'alice');
    const bob = candidate('bob');
    void bob.campaign();
    await bob.queued();
    await bob.election.resign();
    expect(seen).toEqual(['alice']);
  });

  test('ends with its signal', async ({ election, client }) => {
    const stop = new AbortController();
    const { seen, over } = observed(election(client()).observe({ signal: stop.signal }));
    await sees(seen, 'nobody');
    stop.abort();
    await within(SOON_MS, 'the end of the iteration', over);
  });

  test('ends with a timeout signal that nothing else references', async ({ election, client }) => {
    const timeoutMs = 500;
    const one = election(client());
    await sees(observed(one.observe()).seen, 'nobody'); // from now on the state is known without a request
    const { seen, over } = observed(one.observe({ signal: AbortSignal.timeout(timeoutMs) }));
    await sees(seen, 'nobody');
    collectGarbage();
    await within(timeoutMs + SOON_MS, 'the end of the iteration', over);
    expect(seen).toEqual(['nobody']);
  });

  test('leaves no listener on a timeout signal, after its end or after a break', async ({
    election,
    client,
  }) => {
    const one = election(client());
    const soon = AbortSignal.timeout(500);
    await within(500 + SOON_MS, 'the end of the iteration', observed(one.observe({ signal: soon })).over);
    expect(getEventListeners(soon, 'abort')).toEqual([]);

    const late = AbortSignal.timeout(60_000);
    for await (const leader of one.observe({ signal: late })) {
      expect(leader).toBeUndefined();
      expect(getEventListeners(late, 'abort')).toHaveLength(1);
      break;
    }
    expect(getEventListeners(late, 'abort')).toEqual([]);
  });

  test('ends with close(), and a new one ends at once', async ({ election, client }) => {
    const one = election(client());
    const { seen, over } = observed(one.observe());
    await sees(seen, 'nobody');
    await one.close();
    await within(SOON_MS, 'the end of the iteration', over);
    await within(SOON_MS, 'the end of the next', observed(one.observe()).over);
  });

  test('leaves nothing behind after a break', async ({ election, client }) => {
    const one = election(client());
    for await (const leader of one.observe()) {
      expect(leader).toBeUndefined();
      break;
    }
  });

  test.for([
    ['return()', (leaders: Leaders) => leaders.return()],
    [
      'throw()',
      (leaders: Leaders) => leaders.throw(new Error('enough')).catch((error: Error) => error.message),
    ],
    ['its disposal', (leaders: Leaders) => leaders[Symbol.asyncDispose]()],
    ['close()', (_: Leaders, one: Election) => one.close()],
  ] as const)('ends at once by %s while two readers wait', async ([, end], { election, client }) => {
    const one = election(client());
    const leaders = one.observe();
    expect(await leaders.next()).toEqual({ done: false, value: undefined });
    const readers = [leaders.next(), leaders.next()];

    await within(SOON_MS, 'the end', Promise.resolve(end(leaders, one)));

    const over = { done: true, value: undefined };
    expect(await within(SOON_MS, 'both readers', Promise.all(readers))).toEqual([over, over]);
    expect(await leaders.next()).toEqual(over);
  });

  test('throw() rejects with its error, also before the first read', async ({ election, client }) => {
    const one = election(client());
    const fresh = one.observe();
    await expect(fresh.throw(new Error('enough'))).rejects.toThrow('enough');
    expect(await fresh.next()).toEqual({ done: true, value: undefined });
    const begun = one.observe();
    await begun.next();
    const next = begun.next();
    await expect(within(SOON_MS, 'throw()', begun.throw(new Error('enough')))).rejects.toThrow('enough');
    expect((await next).done).toBe(true);
  });

  test('works for many observers of one election', async ({ candidate, election, client }) => {
    const one = election(client());
    const many = Array.from({ length: 5 }, () => observed(one.observe()).seen);
    for (const seen of many) await sees(seen, 'nobody');
    await candidate('alice').campaign();
    for (const seen of many) await sees(seen, 'nobody', 'alice');
  });

  test('gives a slow reader the newest state, not each one in between', async ({
    candidate,
    election,
    client,
  }) => {
    const alice = candidate('alice');
    const term = await alice.campaign('0');
    const iterator = election(client()).observe()[Symbol.asyncIterator]();
    expect((await iterator.next()).value).toMatchObject({ value: '0' });
    for (const value of ['1', '2', '3']) await term.proclaim(value);
    await eventually(() => alice.election.status.leader?.value === '3', { withinMs: SOON_MS });
    await eventually(async () => expect((await iterator.next()).value).toMatchObject({ value: '3' }), {
      withinMs: SOON_MS,
    });
    await iterator.return?.();
  });

  test('F11: names the older of two candidates in one batch', async ({
    election,
    client,
    world,
    prefix,
    etcd,
  }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const { seen } = observed(election(client({ hosts: proxy.endpoint })).observe());
    await sees(seen, 'nobody');
    proxy.stall('down');
    await foreign(world, 'b', 'elder');
    await foreign(world, 'a', 'younger');
    proxy.resume();
    await sees(seen, 'nobody', 'elder');
    await world.own.delete().prefix(`${prefix}e/`).exec(); // both changes have one revision
    await sees(seen, 'nobody', 'elder', 'nobody');
  });

  test('F12, F2: recovers after a change of leaders and a compaction, and yields the present leader', async ({
    election,
    client,
    world,
    etcd,
    candidate,
  }) => {
    await using proxy = await startProxy({ target: etcd.endpoints[0]! });
    const alice = candidate('alice');
    await alice.campaign();
    const { seen } = observed(election(client({ hosts: proxy.endpoint })).observe());
    await sees(seen, 'alice');

    proxy.cut();
    await alice.election.resign();
    const bob = candidate('bob');
    await bob.campaign();
    const revision = await foreign(world, 'z', 'a younger one');
    await world.own.kv.compact({ revision, physical: true });
    await proxy.restore();

    await sees(seen, 'alice', 'bob');
  });
});

test('a dropped iteration ends with its signal: it is not counted as open, and logs nothing more', async ({
  client,
  election,
  candidate,
}) => {
  const ours = client();
  const dropped = new RecordedLog();
  const first = election(ours, 'first', { logger: dropped.logger });
  for (let wave = 0; wave < 3; wave++) {
    const stop = new AbortController();
    await Promise.all(Array.from({ length: 12 }, () => first.observe({ signal: stop.signal }).next()));
    stop.abort();
  }
  expect(dropped.of('observers.many')).toEqual([]);
  await first.close();

  const alice = candidate('alice', { client: ours });
  await alice.campaign();
  sharedClientOf(ours).log.report({ type: 'watch.lost', reason: 'the stream ended' });
  await turn();
  expect(dropped.of('watch.lost')).toEqual([]);
});
