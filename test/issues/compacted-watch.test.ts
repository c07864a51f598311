// A watch breaks, and its range is read anew. Before it goes on from there, what came after is compacted: etcd cancels it with
// the revision that is left. The stream lives and answers probes; who took no notice would be deaf for ever.
import { expect } from 'vitest';
import { startProxy } from 'etcd-election/dev';
import { eventually } from '../support/eventually.ts';
import { SOON_MS, test } from '../support/world.ts';

test('L4: a watch whose next revision is compacted away reads its range again, and the turn is not missed', async ({
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
    if (call[0].compare!.length > 0) return answer; // no read of the queue
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
  await eventually(() => reads === 2, { withinMs: SOON_MS }); // once for the stream, once for the compaction
  expect(bob.election.status.state).toBe('waiting');
  await alice.election.resign();
  await bob.elected();
});
