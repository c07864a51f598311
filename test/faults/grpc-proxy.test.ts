import { startProxy } from 'etcd-election/dev';
import { Etcd3 } from 'etcd3';
import { describe, expect, test } from 'vitest';
import { hangUp } from './lab/act.ts';
import { poll } from '../support/poll.ts';
import { Operator } from './lab/gateway.ts';
import { startGrpcProxy } from './lab/grpc-proxy.ts';
import { NOISE_MS } from './lab/lab.ts';
import { freshName, Replica } from './lab/replica.ts';
import { sharedCluster } from './lab/story.ts';

// `etcd grpc-proxy` ignores the client's watch ID. It answers a renewal with the next answer to a keep-alive of its
// own.

const cluster = sharedCluster({ members: 1 });
const TTL_SECONDS = 6;

const stand = async (
  endpoint: string,
  election: string,
  value: string,
  ttlSeconds = TTL_SECONDS,
): Promise<Replica> => {
  const replica = await Replica.start({
    endpoints: [endpoint],
    election,
    value,
    options: { ttlSeconds },
  });
  replica.stand();
  return replica;
};

describe('through etcd grpc-proxy', () => {
  test('L1, L4: a follower sees a resignation, and an observer sees the leader', async () => {
    await using proxy = await startGrpcProxy(cluster().endpoints);
    const name = freshName();
    await using alice = await stand(proxy.endpoint, name, 'alice');
    await poll(() => alice.leads, 8_000).toBe(true);
    await using bob = await stand(proxy.endpoint, name, 'bob');
    await poll(() => bob.election.status.position, 8_000).toBe(2);

    const observer = bob.election.observe();
    expect((await observer.next()).value).toMatchObject({ value: 'alice' });
    await alice.election.resign();
    await poll(() => bob.leads, NOISE_MS).toBe(true);
    for (let leader = ''; leader !== 'bob';) leader = (await observer.next()).value?.value ?? '';
    await observer.return(undefined);
    expect(alice.told('etcd.proxied')).toMatchObject([{ level: 'warn', fields: { isSupported: true } }]);
  });

  test('S2, S4: renewals keep a term for longer than its TTL, and an evicted leader notices', async () => {
    await using proxy = await startGrpcProxy(cluster().endpoints);
    const ttlSeconds = 8; // a busy machine costs no lease of this length
    await using alice = await stand(proxy.endpoint, freshName(), 'alice', ttlSeconds);
    await poll(() => alice.leads, 8_000).toBe(true);
    const [term] = alice.terms;
    await hangUp(1.5 * ttlSeconds * 1_000);
    expect(term!.isCurrent()).toBe(true);
    expect(alice.told('session.lost')).toEqual([]);

    await new Operator(cluster()).delete(term!.key);
    await poll(() => term!.isCurrent(), NOISE_MS).toBe(false);
    await poll(() => alice.told('term.ended')[0]?.fields['reason'], NOISE_MS).toBe('evicted');
  });

  test('S2: delayed replies never extend a term beyond the lease in etcd', async () => {
    await using way = await startProxy({ target: cluster().endpoints[0]! });
    await using proxy = await startGrpcProxy([way.endpoint]);
    await using alice = await stand(proxy.endpoint, freshName(), 'alice');
    await poll(() => alice.leads, 8_000).toBe(true);
    const [term] = alice.terms;

    const etcd = new Etcd3({ hosts: cluster().endpoints });
    try {
      way.slow(1_500);
      await hangUp((TTL_SECONDS * 1_000) / 2);
      way.stall('up'); // answers still arrive, but no request does
      await poll(async () => (await etcd.get(term!.key).string()) === null, 3 * TTL_SECONDS * 1_000).toBe(
        true,
      );
      expect(term!.isCurrent()).toBe(false);
    } finally {
      etcd.close();
      await way.restore();
    }
  });

  test('a TTL that is too short for the proxy is refused as unsupported at the start', async () => {
    await using proxy = await startGrpcProxy(cluster().endpoints);
    await using alice = await Replica.start({
      endpoints: [proxy.endpoint],
      election: freshName(),
      value: 'alice',
      options: { ttlSeconds: 2 },
    });
    alice.stand();
    await poll(() => alice.told('etcd.proxied').length, 8_000).toBe(1);
    expect(alice.told('etcd.proxied')[0]).toMatchObject({
      level: 'warn',
      message: expect.stringContaining('A TTL of 2 s is not supported there'),
    });
  });
});
