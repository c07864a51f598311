import { test } from 'vitest';
import { poll } from '../support/poll.ts';
import { NOISE_MS } from './lab/lab.ts';
import { freshName, Replica } from './lab/replica.ts';
import { sharedCluster } from './lab/story.ts';

const cluster = sharedCluster({ members: 1 });
const TTL_S = 3;
/** A thousand elections need a second of processor time to enter. The benchmark measures that; this test does not. */
const ELECTIONS = 100;

test('L5: a hundred elections of one client lose their lease in an outage: all lead 3 s after its end', async () => {
  const options = { ttlSeconds: TTL_S };
  const name = freshName();
  await using alice = await Replica.start({
    endpoints: cluster().endpoints,
    election: name,
    value: 'alice',
    options,
  });
  const elections = Array.from({ length: ELECTIONS }, (_, i) => alice.another(`${name}-${i}`, options));
  const leading = (): number => elections.filter(({ status }) => status.term?.isCurrent() === true).length;
  for (const election of elections) election.campaign('alice').catch(() => undefined);
  await poll(leading, 10 * TTL_S * 1000).toBe(ELECTIONS);

  for (const link of alice.links) link.cut();
  await poll(leading, TTL_S * 1000 + NOISE_MS).toBe(0);
  await alice.restore();
  await poll(leading, 3_000 + NOISE_MS).toBe(ELECTIONS);

  await Promise.all(elections.map((election) => election.close()));
});
