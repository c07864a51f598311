// A watch breaks and its range is read again. Before the answer arrives the replica has stepped down and entered again
// under a new key. The late answer is older than that key, and must not be taken for the present state. It once ended
// a healthy term as evicted, left the key behind, and began the next term under the same fencing token.
import { expect } from 'vitest';
import { startProxy } from 'etcd-election/dev';
import { eventually } from '../support/eventually.ts';
import { SOON_MS, test, TTL_SECONDS } from '../support/world.ts';

const LATE_MS = (TTL_SECONDS * 1000) / 4;

test('S1, S3: a late answer to a broken watch does not end the next term', async ({
  etcd,
  candidate,
  world,
}) => {
  await using proxy = await startProxy({ target: etcd.endpoints[0]! });
  const client = world.client({ hosts: proxy.endpoint });
  const txn = client.kv.txn.bind(client.kv);
  let isLate = (): void => undefined;
  const answered = new Promise<void>((resolve) => (isLate = resolve));
  let delay = false;
  client.kv.txn = async (...call) => {
    const answer = await txn(...call); // etcd's own answer, delayed
    const [first] = call[0].success!;
    const isQueue = call[0].compare!.length === 0 && first?.request_range?.key?.toString().includes('/e/');
    if (!delay || isQueue !== true) return answer;
    delay = false;
    await new Promise((resolve) => setTimeout(resolve, LATE_MS));
    isLate();
    return answer;
  };
  const other = candidate('other', { client, election: 'other' });
  const alice = candidate('alice', { client });
  await other.campaign();
  const first = await alice.campaign();

  delay = true;
  proxy.reset();
  await eventually(() => !delay, { withinMs: SOON_MS }); // the range is being read
  await alice.election.stepDown();
  const second = await alice.elected();
  await answered;

  await eventually(async () => expect((await alice.election.leader())?.key).toBe(second.key), {
    withinMs: SOON_MS,
  });
  expect(second.isCurrent()).toBe(true);
  expect(second.fencingToken).toBeGreaterThan(first.fencingToken);
});
