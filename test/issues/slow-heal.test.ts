// The watch of a leader breaks again and again while its renewals succeed elsewhere; meanwhile its key is deleted. The
// holds may be long by then, but etcd has answered a renewal: the next try must not wait for them. (Found by an hour
// of faults: after a rolling restart a leader continued for 4.5 s without its key.)
import type { LeadershipLostError } from 'etcd-election';
import { expect } from 'vitest';
import { abortOf, eventually, within } from '../support/eventually.ts';
import { SHORT_TTL_SECONDS, SOON_MS, test } from '../support/world.ts';

/** By then each hold is longer than the TTL. */
const TRIES = 6;
const LONGEST_HOLD_MS = 2_500;
const MOST_TERMS = 3;

test('S4, L4: a lost watch is retried after every renewal, however long its holds are', async ({
  candidate,
  client,
  world,
}) => {
  const ours = client();
  const { watchClient } = ours;
  const watch = watchClient.watch.bind(watchClient);
  let stream: { cancel(): void } | undefined;
  let failures = Infinity;
  watchClient.watch = async (...options) => {
    if (stream !== undefined && failures-- > 0) throw new Error('no way to etcd');
    return (stream = await watch(...options)) as Awaited<ReturnType<typeof watch>>;
  };
  const alice = candidate('alice', { client: ours, ttlSeconds: SHORT_TTL_SECONDS });
  await alice.campaign();
  await eventually(() => stream !== undefined, { withinMs: SOON_MS });

  const lose = async (): Promise<string> => {
    const term = await alice.elected();
    failures = TRIES;
    stream!.cancel();
    await eventually(() => failures <= 0, { withinMs: TRIES * LONGEST_HOLD_MS });
    await world.own.delete().key(term.key).exec();
    const lost = await within(SHORT_TTL_SECONDS * 1000, 'the end of the term', abortOf(term.signal));
    return (lost as LeadershipLostError).reason;
  };
  const reasons: string[] = [];
  // A machine that stalls for a second costs a lease of this length. A term without its key would not end by that.
  while (reasons.at(-1) !== 'evicted' && reasons.length < MOST_TERMS) reasons.push(await lose());
  expect(reasons).toContain('evicted');
});
