// A leader that was cut off reported "no leader" as known when its own deadline passed, although etcd had said nothing. So
// `etcd_election_leaderless_duration_seconds` counted the whole time of the cut, while another replica led.
import { startProxy } from 'etcd-election/dev';
import { expect } from 'vitest';
import { within } from '../support/eventually.ts';
import { abortOf, SHORT_TTL_SECONDS, SOON_MS, test } from '../support/world.ts';

test('a leader whose deadline passes while it is cut off does not know that nobody leads', async ({
  candidate,
  etcd,
  log,
}) => {
  const ttlSeconds = SHORT_TTL_SECONDS;
  await using proxy = await startProxy({ target: etcd.endpoints[0]! });
  const alice = candidate('alice', { ttlSeconds, hosts: proxy.endpoint });
  const bob = candidate('bob', { ttlSeconds });
  const term = await alice.campaign();
  void bob.campaign();
  await bob.queued();

  const before = log.of('leader.changed').length;
  proxy.stall();
  await within(ttlSeconds * 1_000 + SOON_MS, 'the end of the term', abortOf(term.signal));
  await bob.elected(ttlSeconds * 1_000 + SOON_MS);
  proxy.resume();
  await alice.queued(2 * ttlSeconds * 1_000 + SOON_MS);

  const changes = log.of('leader.changed').slice(before);
  expect(changes.filter(({ isKnown }) => isKnown === false)).not.toEqual([]);
  expect(
    changes.filter(({ isKnown, fencingToken }) => isKnown === true && fencingToken === undefined),
  ).toEqual([]);
});
