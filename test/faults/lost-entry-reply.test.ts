import { Etcd3 } from 'etcd3';
import type { FaultyProxy } from 'etcd-election/dev';
import { describe, expect, test } from 'vitest';
import { CALL_LIMIT_MS } from '../../src/client/session.ts';
import { poll } from '../support/poll.ts';
import { Operator } from './lab/gateway.ts';
import { nowMs } from './lab/history.ts';
import { NOISE_MS } from './lab/lab.ts';
import { freshName, Replica } from './lab/replica.ts';
import { sharedCluster } from './lab/story.ts';

// etcd has granted, entered or deleted, and the candidate does not learn it.

const cluster = sharedCluster();
const TTL_S = 3;
const TTL_MS = TTL_S * 1000;

describe('a lost reply', () => {
  /** An election of its own, which keeps the session while a second one comes and goes. */
  const ofAnother = (): Parameters<typeof Replica.start>[0] => ({
    endpoints: cluster().endpoints,
    election: freshName(),
    value: 'alice',
    options: { ttlSeconds: 2 * TTL_S },
  });

  async function leads(alice: Replica): Promise<void> {
    alice.stand();
    await poll(() => alice.leads, 10_000).toBe(true);
  }

  /** The replica enters a second election, and the reply is lost. */
  async function enterWithoutReply(alice: Replica, name: string) {
    await connectAll(alice);
    const second = alice.another(name, { ttlSeconds: 2 * TTL_S });
    for (const link of alice.links) link.loseReplies();
    const term = second.campaign('alice');
    await poll(() => alice.told('candidate.failed'), TTL_MS).not.toEqual([]);
    return { second, term };
  }

  const queue = (name: string) => new Operator(cluster()).list(`election/${name}/`);

  /** A call that must connect first does not arrive while replies are lost. */
  const connectAll = (replica: Replica) =>
    poll(async () => {
      await replica.election.leader();
      return replica.usedLinks;
    }, 10_000).toEqual(replica.links);

  test('L3: to the grant: another lease is granted, and the first one does not remain', async () => {
    const name = freshName();
    await using alice = await Replica.start({
      endpoints: cluster().endpoints,
      election: name,
      value: 'alice',
      options: { ttlSeconds: TTL_S },
    });
    const operator = new Operator(cluster());
    const before = await operator.leases();
    const granted = async () => (await operator.leases()).filter((lease) => !before.includes(lease));
    await connectAll(alice);
    for (const link of alice.links) link.loseReplies();
    alice.stand();
    await poll(() => alice.told('session.unavailable'), TTL_MS).not.toEqual([]);
    const [lease, ...others] = await granted();
    expect([lease !== undefined, others]).toEqual([true, []]);
    await alice.restore();
    await poll(() => alice.leads, 3_000 + NOISE_MS).toBe(true);
    const [term] = alice.terms;
    expect(term!.leaseId).not.toBe(lease);
    await poll(granted, NOISE_MS).toEqual([term!.leaseId]);
  });

  test('L3: to the entry: the candidate finds its key, and leads under it', async () => {
    const name = freshName();
    await using alice = await Replica.start(ofAnother());
    await leads(alice);
    const { second, term } = await enterWithoutReply(alice, name);
    expect(await queue(name)).toHaveLength(1);
    await alice.restore();
    expect((await term).isCurrent()).toBe(true);
    expect((await queue(name)).map(({ createRevision }) => createRevision)).toEqual([
      (await term).fencingToken,
    ]);
    await second.close();
  });

  test.for([
    ['the reply is lost', (link) => link.loseReplies(), 0],
    ['the request is lost', (link) => link.stall('up'), 1],
  ] as const satisfies [string, (link: FaultyProxy) => void, number][])(
    'S5: to the resignation, %s: the key is deleted, although another election keeps the session',
    async ([, harm, keysLeft]) => {
      const name = freshName();
      await using alice = await Replica.start(ofAnother());
      await leads(alice);
      const second = alice.another(name, { ttlSeconds: 2 * TTL_S });
      await second.campaign('alice');
      await connectAll(alice);
      const renewals = alice.told('session.renewed').length;
      await poll(() => alice.told('session.renewed').length, 2 * TTL_MS).toBe(renewals + 1);
      for (const link of alice.links) harm(link);
      const began = nowMs();
      await second.close();
      expect(nowMs() - began).toBeLessThan(2 * CALL_LIMIT_MS + NOISE_MS);
      expect(alice.told('release.failed', began)).not.toEqual([]);
      expect(await queue(name)).toHaveLength(keysLeft);
      await alice.restore();
      await poll(() => queue(name), 2 * TTL_MS + NOISE_MS).toEqual([]);
      expect(alice.leads).toBe(true);
    },
  );

  test.for([1, 2])(
    'L3: a late duplicate of an entry is deleted after %i resignations, although the session continues',
    async (resignations) => {
      const name = freshName();
      await using alice = await Replica.start(ofAnother());
      await leads(alice);
      const { second, term } = await enterWithoutReply(alice, name);
      await alice.restore();
      const { leaseId } = await term;
      const [key] = (await queue(name)).map((entry) => entry.key);
      await second.resign();
      for (let more = 1; more < resignations; more++) {
        await second.campaign('alice');
        await second.resign();
      }
      expect(await queue(name)).toEqual([]);

      // A member that was frozen meanwhile executes the first try late.
      const late = new Etcd3({ hosts: [...cluster().endpoints] });
      await late.put(key!).value('alice').lease(leaseId);
      late.close();
      await poll(() => queue(name), 2 * TTL_MS + NOISE_MS).toEqual([]);
      expect(alice.leads).toBe(true);
    },
  );
});
