// A watch breaks and its range is read again. Before it continues, the following revisions are compacted, and etcd
// cancels it with the remaining revision. The stream stays open and answers probes. A client that ignored the
// cancellation would miss all changes for ever.
import { expect } from 'vitest';
import { startProxy } from 'etcd-election/dev';
import { eventually } from '../support/eventually.ts';
import { SOON_MS, test } from '../support/world.ts';

test('L4: a watch whose next revision is compacted reads its range again, and the candidate gets its turn', async ({
  etcd,
  candidate,
  world,
}) => {
  await using proxy = await startProxy({ target: etcd.endpoints[0]! });
  const client = world.client({ hosts: proxy.endpoint });
  const txn = client.kv.txn.bind(client.kv);
  let compactFirst = false;
  let reads = 0;
  client.kv.txn = async (...call) => {
    const answer = await txn(...call);
    if (call[0].compare!.length > 0) return answer; // it does not read the queue
    reads++;
    if (!compactFirst) return answer;
    compactFirst = false;
    const other = world.client();
    for (let times = 0; times < 2; times++) await other.put('elsewhere').value(String(times));
    const { header } = await other.kv.range({ key: Buffer.from('elsewhere') });
    await other.kv.compact({ revision: header.revision });
    return answer;
  };
  const alice = candidate('alice');
  const bob = candidate('bob', { client });
  await alice.campaign();
  void bob.campaign();
  await bob.queued();

  reads = 0;
  compactFirst = true;
  proxy.reset();
  await eventually(() => reads >= 2, { withinMs: SOON_MS }); // once for the stream, once for the compaction
  expect(bob.election.status.state).toBe('waiting');
  await alice.election.resign();
  await bob.elected();
});
