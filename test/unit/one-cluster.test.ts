import { expect, test, vi } from 'vitest';
import { chosen, endpointsOfOneCluster, named } from '../../src/cli/one-cluster.ts';
import { Deferred } from '../../src/util/deferred.ts';

// Which endpoints a command uses. The rules of the vote are in cluster-vote.test.ts.

const [a, b, c] = ['http://a:1', 'http://b:1', 'http://c:1'];
const never = new Promise<never>(() => undefined);
const refused = new Error('connect ECONNREFUSED');

type Said = string | undefined | Error | Promise<never>;
const choose = (said: Readonly<Record<string, Said>>) =>
  endpointsOfOneCluster(Object.keys(said), async (endpoint) => {
    const answer = await said[endpoint];
    if (answer instanceof Error) throw answer;
    return answer;
  });

test('the majority wins, whichever answers first', async () => {
  const foreign = [{ endpoint: a, clusterId: '2' }];
  expect(await choose({ [a]: '2', [b]: '1', [c]: '1' })).toEqual({ ours: [b, c], clusterId: '1', foreign });
});

test('an endpoint that does not answer has no vote, is not used, and is not waited for', async () => {
  expect(await choose({ [a]: never, [b]: '1', [c]: '1' })).toEqual({
    ours: [b, c],
    clusterId: '1',
    foreign: [],
  });
  expect(await choose({ [a]: refused, [b]: refused, [c]: '1' })).toMatchObject({ ours: [c], clusterId: '1' });
});

test('different clusters without a majority are refused, and named', async () => {
  await expect(choose({ [a]: '1', [b]: '2' })).rejects.toThrow(
    `no cluster has the majority of the endpoints: ${a} (cluster 1); ${b} (cluster 2)`,
  );
  await expect(choose({ [a]: '1', [b]: '2', [c]: refused })).rejects.toThrow('no cluster has the majority');
  expect(chosen([], [a, b])?.ours).toEqual([a, b]);
  expect(named([a, b].map((endpoint) => ({ endpoint, clusterId: '7' })))).toBe(`${a}, ${b} (cluster 7)`);
});

test('if no endpoint names its cluster, all are used; if none can be reached, the reason is thrown', async () => {
  const denied = new Error('etcdserver: permission denied');
  expect(await choose({ [a]: undefined, [b]: refused })).toMatchObject({ ours: [a, b], foreign: [] });
  expect(await choose({ [a]: denied, [b]: refused })).toMatchObject({ ours: [a, b], foreign: [] });
  await expect(choose({ [a]: refused, [b]: refused })).rejects.toBe(refused);
});

test.for([
  'alert certificate required',
  'unable to verify the first certificate',
  "does not match certificate's altnames",
])('if TLS fails at every endpoint, the reason is thrown: %s', async (text) => {
  const failed = new Error(text);
  await expect(choose({ [a]: failed, [b]: failed, [c]: failed })).rejects.toBe(failed);
  await expect(choose({ [a]: refused, [b]: failed, [c]: failed })).rejects.toBe(failed);
});

test('a proxy that leaves out the cluster ID is not used beside a member that names it', async () => {
  expect(await choose({ [a]: undefined, [b]: '1' })).toMatchObject({ ours: [b], foreign: [] });
});

test('one endpoint is not asked; the same endpoint has one vote', async () => {
  const ask = (): Promise<never> => Promise.reject(new Error('asked'));
  expect(await endpointsOfOneCluster([a], ask)).toMatchObject({ ours: [a] });
  await expect(endpointsOfOneCluster([a, a, b], async (at) => (at === a ? '1' : '2'))).rejects.toThrow(
    'no cluster has the majority',
  );
});

test('without a majority, an endpoint that is alive decides too, however slow; a silent one does not', async () => {
  vi.useFakeTimers();
  try {
    const slow = new Deferred<string>();
    const choice = endpointsOfOneCluster([a, b], (endpoint, _, onAlive) => {
      if (endpoint === a) return Promise.resolve('1');
      onAlive();
      return slow.promise;
    });
    await vi.advanceTimersByTimeAsync(60_000);
    slow.resolve('2');
    await expect(choice).rejects.toThrow('no cluster has the majority');

    const other = choose({ [a]: '1', [b]: never });
    await vi.advanceTimersByTimeAsync(2_001);
    expect(await other).toMatchObject({ ours: [a] });

    const proxied = choose({ [a]: undefined, [b]: never });
    await vi.advanceTimersByTimeAsync(2_001);
    expect(await proxied).toMatchObject({ ours: [a, b] });
  } finally {
    vi.useRealTimers();
  }
});
