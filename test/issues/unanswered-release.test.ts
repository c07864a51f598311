// etcd was away for a moment while a candidate resigned. The delete of its key was repeated only by the next renewal of the
// shared lease: with a TTL of 60 s up to 20 s later. Until then the key blocked the election.
import { startProxy } from 'etcd-election/dev';
import { expect } from 'vitest';
import { SOON_MS, test } from '../support/world.ts';

/** A third of it is much longer than a recovery may take. */
const LONG_TTL_SECONDS = 60;

test.for(['resign', 'close'] as const)(
  'L5: after %s() during an outage, the next candidate leads soon after etcd is back',
  async (end, { candidate, client, world, log }) => {
    await using proxy = await startProxy({ target: world.etcd.endpoints[0]! });
    const ours = client({ hosts: proxy.endpoint });
    const alice = candidate('alice', { client: ours, ttlSeconds: LONG_TTL_SECONDS });
    const other = candidate('alice', { client: ours, ttlSeconds: LONG_TTL_SECONDS, election: 'other' });
    const bob = candidate('bob');
    await alice.campaign();
    await other.campaign(); // keeps the lease
    void bob.campaign();
    await bob.queued();

    proxy.cut();
    await alice.election[end]();
    expect(log.of('release.failed')).toHaveLength(1);
    await proxy.restore();

    await bob.elected(SOON_MS);
    expect(other.election.isCurrent()).toBe(true);
  },
);
