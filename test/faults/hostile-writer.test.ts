import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Range } from 'etcd3';
import type { ElectionOptions } from 'etcd-election';
import { describe, expect, onTestFinished, test } from 'vitest';
import { spreadMs } from '../../src/core/queue-part.ts';
import { Deferred } from '../../src/util/deferred.ts';
import { poll } from '../support/poll.ts';
import { Operator } from './lab/gateway.ts';
import { NOISE_MS } from './lab/lab.ts';
import { freshName, Replica } from './lab/replica.ts';
import { sharedCluster } from './lab/story.ts';

// A client that may write the prefix can stand first in the queue, and can evict: etcd cannot distinguish it from us.
// It cannot make two of our replicas lead, crash us, or exhaust our memory.

const cluster = sharedCluster({ members: 1 });
const operator = (): Operator => new Operator(cluster());
const TTL_MS = 2_000;
setFlagsFromString('--expose-gc');
const heapAfterCollection = (): number => {
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed;
};

const stand = async (election: string, options: ElectionOptions = {}): Promise<Replica> => {
  const alice = await Replica.start({
    endpoints: cluster().endpoints,
    election,
    value: 'alice',
    options: { ttlSeconds: 2, ...options },
  });
  alice.stand();
  return alice;
};

describe('what a hostile writer can do', () => {
  test('S3: a foreign key older than ours leads while it exists; we wait and name it', async () => {
    const name = freshName();
    await operator().put(`election/${name}/mallory`, 'mallory');
    await using alice = await stand(name);
    await poll(() => alice.election.status.position, 5_000).toBe(2);
    expect(alice.election.status).toMatchObject({
      state: 'waiting',
      leader: { value: 'mallory', leaseId: '0' },
    });
    await poll(() => alice.told('candidate.waiting'), 10_000).toMatchObject([
      { level: 'warn', fields: { blockedBy: `election/${name}/mallory` } },
    ]);
    await operator().delete(`election/${name}/mallory`);
    await poll(() => alice.leads, TTL_MS).toBe(true);
  });

  test('L3: our key loses its lease while we are away: we delete it when we return, and lead', async () => {
    const name = freshName();
    await using alice = await stand(name);
    await poll(() => alice.leads, 5_000).toBe(true);
    const [term] = alice.terms;
    for (const link of alice.links) link.cut();
    await operator().put(term!.key, 'alice');
    await poll(() => operator().leases(), 3 * TTL_MS).not.toContain(term!.leaseId);
    expect((await operator().list(`election/${name}/`)).map(({ key }) => key)).toEqual([term!.key]);
    await alice.restore();
    await poll(() => alice.terms.length, 3 * TTL_MS).toBe(2);
    expect((await operator().list(`election/${name}/`)).map(({ key }) => key)).toEqual([alice.terms[1]!.key]);
  });

  test('L2, S2: our key loses its lease, we are away, and our work does not stop: the next candidate leads', async () => {
    const name = freshName();
    const stopped = new Deferred<void>();
    await using alice = await stand(name, { onLeader: () => stopped.promise });
    onTestFinished(() => stopped.resolve());
    await poll(() => alice.leads, 5_000).toBe(true);
    await using bob = await stand(name);
    const [term] = alice.terms;
    await poll(() => bob.election.status.position, 5_000).toBe(2);
    for (const link of alice.links) link.cut();
    await operator().put(term!.key, 'alice');
    let ledAtOnce = false;
    const isLed = (): boolean => {
      ledAtOnce ||= bob.leads && alice.leads;
      return bob.leads;
    };
    await poll(isLed, 3 * TTL_MS).toBe(true);
    expect(ledAtOnce).toBe(false);
    await alice.restore();
    expect(alice.terms).toEqual([term]);
  });

  test.for([
    ['never comes back', false],
    ['still leads', true],
  ] as const)(
    'L2, S4: a key loses its lease and its replica %s: the next candidate leads, and a warning names the key',
    async ([, isAlive]) => {
      const name = freshName();
      await using alice = await stand(name);
      await poll(() => alice.leads, 5_000).toBe(true);
      await using bob = await stand(name);
      await poll(() => bob.election.status.position, 5_000).toBe(2);
      const [term] = alice.terms;
      if (!isAlive) for (const link of alice.links) link.cut();
      await operator().put(term!.key, 'alice');
      await poll(() => bob.leads, 3 * TTL_MS).toBe(true);
      expect(term!.isCurrent()).toBe(false);
      // A replica that is there deletes the key by itself.
      const told = (): unknown[] => bob.told('orphan.deleted').map(({ fields }) => fields['key']);
      await poll(told, TTL_MS).toEqual(isAlive ? [] : [term!.key]);
    },
  );

  test('S4: our key is overwritten, without a lease or with another one: the term ends', async () => {
    const name = freshName();
    await using alice = await stand(name);
    await poll(() => alice.leads, 5_000).toBe(true);
    const [term] = alice.terms;
    await operator().put(term!.key, 'mallory');
    await poll(() => term!.isCurrent(), TTL_MS).toBe(false);
    const written = await term!
      .txn()
      .then(alice.client.put(`${name}-log`).value('1'))
      .commit()
      .catch(() => undefined);
    expect(written?.succeeded ?? false).toBe(false);
    await poll(() => alice.told('term.ended')[0]?.fields['reason'], TTL_MS).toBe('evicted');
  });

  test('S1, S4: our key is deleted and written again by another client: we do not lead under it', async () => {
    const name = freshName();
    await using alice = await stand(name);
    await poll(() => alice.leads, 5_000).toBe(true);
    const [term] = alice.terms;
    await operator().delete(term!.key);
    await operator().put(term!.key, 'alice');
    await poll(() => term!.isCurrent(), TTL_MS).toBe(false);
    await poll(() => alice.told('term.ended')[0]?.fields['reason'], TTL_MS).toBe('evicted');
    await operator().delete(term!.key);
    await poll(() => alice.leads, 2 * TTL_MS + 3_000).toBe(true);
    expect(alice.terms.at(-1)!.fencingToken).toBeGreaterThan(term!.fencingToken);
  });
});

describe('what a hostile writer cannot do', () => {
  test('foreign keys below our keys, huge values and bytes that are not text have no effect', async () => {
    const name = freshName();
    await operator().put(`election/${name}/deep/er`, 'of another election');
    await using alice = await stand(name);
    await poll(() => alice.leads, 5_000).toBe(true);

    await operator().put(`election/${name}/huge`, Buffer.alloc(1_000_000, 'x'));
    await operator().put(`election/${name}/bytes`, Buffer.from([0xff, 0xfe, 0x00, 0xc3, 0x28]));
    await operator().put(`election/${name}/`, 'a key without a name');
    await poll(async () => (await alice.election.candidates()).length, TTL_MS).toBe(4);
    const values = (await alice.election.candidates()).map(({ value }) => value.slice(0, 12));
    expect(values).toEqual(['alice', 'xxxxxxxxxxxx', '\ufffd\ufffd\0\ufffd(', 'a key withou']);
    expect(alice.leads).toBe(true);
    expect(alice.terms).toHaveLength(1);
  });

  test('a queue too large for one gRPC answer (4 MB): we enter, know our position, and lead later', async () => {
    const name = freshName();
    const huge = Array.from({ length: 6 }, (_, index) => `election/${name}/huge-${index}`);
    for (const key of huge) await operator().put(key, Buffer.alloc(1_000_000, 'x'));
    await using alice = await stand(name, { ttlSeconds: 12 }); // its watch waits 4 s for an answer, also on a busy machine
    await poll(() => alice.election.status.position, 5_000).toBe(huge.length + 1);
    expect(await alice.election.candidates()).toHaveLength(huge.length + 1);
    // Its watch messages are as large, and do not break its stream.
    for (const key of huge) await operator().put(key, Buffer.alloc(1_000_000, 'y'));

    for (const key of huge) await operator().delete(key);
    await poll(() => alice.leads, TTL_MS).toBe(true);
    expect(await alice.election.candidates()).toEqual([expect.objectContaining({ value: 'alice' })]);
    expect(alice.told('watch.lost')).toEqual([]);
  });

  test('10,000 false candidates ahead of us: memory is bounded, our position is known, and we lead later', async () => {
    const MANY = 10_000;
    const PER_TXN = 100;
    const MOST_BYTES_EACH = 500;
    const name = freshName();
    const fake = (number: number): string => `election/${name}/fake-${String(number).padStart(5, '0')}`;
    await using writer = await Replica.start({
      endpoints: cluster().endpoints,
      election: freshName(),
      value: '',
    });
    for (let first = 0; first < MANY; first += PER_TXN) {
      const puts = Array.from({ length: PER_TXN }, (_, index) =>
        writer.client.put(fake(first + index)).value('fake'),
      );
      await Promise.all(puts);
    }
    const before = heapAfterCollection();
    await using alice = await stand(name);
    await poll(() => alice.election.status.position, 20_000).toBe(MANY + 1);
    expect((heapAfterCollection() - before) / MANY).toBeLessThan(MOST_BYTES_EACH);

    // Each watch message changes one place in a queue of thousands.
    for (let first = 0; first < MANY; first += PER_TXN)
      await writer.client.delete().range(new Range(fake(first), fake(first + PER_TXN)));
    await turn();
    // It lost its neighbour, and reads the queue within the spread of its place.
    await poll(() => alice.leads, spreadMs(MANY, MANY + 1) + NOISE_MS).toBe(true);
  });
});
