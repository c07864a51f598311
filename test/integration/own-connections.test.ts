// The elections of a client have their own connections: the application's use of the client does not affect them.
import dns from 'node:dns';
import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, vi } from 'vitest';
import { reservePort } from '../../src/dev/ports.ts';
import { eventually } from '../support/eventually.ts';
import { startSwitchboard } from '../support/switchboard.ts';
import { SHORT_TTL_SECONDS, SOON_MS, test } from '../support/world.ts';

describe('a client whose own calls all fail', () => {
  test('its elections still enter, write and hand over', async ({ candidate, client, world }) => {
    // etcd3's breaker of this client opens at the third failing call.
    const failing = client({ defaultCallOptions: () => ({ deadline: Date.now() - 1 }) });
    for (let call = 0; call < 5; call++)
      await failing
        .get('key')
        .string()
        .catch(() => undefined);
    const alice = candidate('alice', { client: failing });
    const term = await alice.campaign();
    for (let write = 0; write < 5; write++) {
      await failing
        .get('key')
        .string()
        .catch(() => undefined);
      const answer = await term
        .txn()
        .then(failing.put(`${world.prefix}log`).value(write))
        .commit();
      expect(answer.succeeded).toBe(true);
    }
    await alice.election.resign();
  });
});

test('fenced writes that wait for a silent host do not delay a resignation', async ({
  candidate,
  client,
  world,
}) => {
  const [etcd] = world.etcd.endpoints;
  await using silent = await startSwitchboard(etcd!);
  await using sound = await startSwitchboard(etcd!);
  const ours = client({ hosts: [silent.endpoint, sound.endpoint] });
  const alice = candidate('alice', { client: ours });
  const bob = candidate('bob');
  const term = await alice.campaign();
  void bob.campaign();
  await bob.queued();

  silent.hold();
  for (let write = 0; write < 400; write++)
    void term
      .txn()
      .then(ours.put(`${world.prefix}w${write}`).value('x'))
      .commit()
      .catch(() => undefined);
  await alice.election.resign();
  await bob.elected(SOON_MS);
  await eventually(() => alice.election.status.state === 'idle', { withinMs: SOON_MS });
});

test('an election accepts a host as gRPC users write it: dns:///host:port', async ({ candidate, world }) => {
  const { port } = new URL(world.etcd.endpoints[0]!);
  const alice = candidate('alice', { hosts: `dns:///127.0.0.1:${port}` });
  expect((await alice.campaign()).isCurrent()).toBe(true);
});

/** Much less than the 30 s for which gRPC keeps the addresses of a name by default. */
const REDIALLED_MS = 10_000;

test('L5: a reader finds a member that has come back at another address', async ({ world }) => {
  const { port } = new URL(world.etcd.endpoints[0]!);
  let address = '127.0.0.2'; // nobody listens there
  const { lookup } = dns.promises;
  const moving = (name: string, options: dns.LookupAllOptions): Promise<dns.LookupAddress[]> =>
    name === 'moving.test' ? Promise.resolve([{ address, family: 4 }]) : lookup(name, options);
  vi.spyOn(dns.promises, 'lookup').mockImplementation(moving as typeof lookup);
  onTestFinished(() => void vi.restoreAllMocks());
  const reader = world.election(world.client({ hosts: `http://moving.test:${port}` }), 'job');
  await expect(reader.leader()).rejects.toThrow('ECONNREFUSED');
  address = '127.0.0.1';
  const isBack = (): Promise<boolean> =>
    reader.leader().then(
      () => true,
      () => false,
    );
  await eventually(isBack, { withinMs: REDIALLED_MS });
});

/** An HTTP proxy that executes CONNECT. */
async function httpProxy(): Promise<AsyncDisposable & { readonly url: string; readonly asked: Set<string> }> {
  const asked = new Set<string>();
  const server: Server = createServer();
  server.on('connect', ({ url }, socket) => {
    asked.add(url!);
    const { hostname, port } = new URL(`http://${url}`);
    const other = connect(Number(port), hostname, () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(other).pipe(socket);
    });
    for (const [one, another] of [
      [socket, other],
      [other, socket],
    ] as const) {
      one.on('error', () => undefined);
      one.on('close', () => another.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    [Symbol.asyncDispose]: async () => {
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test('the library distinguishes hosts behind an HTTP proxy: a silent one gets no write', async ({
  candidate,
  world,
  log,
}) => {
  await using proxy = await httpProxy();
  vi.stubEnv('grpc_proxy', proxy.url);
  for (const name of ['no_grpc_proxy', 'no_proxy']) vi.stubEnv(name, '');
  onTestFinished(() => void vi.unstubAllEnvs());
  const [etcd] = world.etcd.endpoints;
  await using silent = await startSwitchboard(etcd!);
  await using sound = await startSwitchboard(etcd!);
  const hosts = [silent.endpoint, sound.endpoint];
  const alice = candidate('alice', { hosts });
  const term = await alice.campaign();
  await eventually(() => hosts.every((host) => proxy.asked.has(new URL(host).host)), { withinMs: SOON_MS });

  silent.hold();
  await eventually(
    async () => {
      await alice.election.leader();
      expect(log.of('host.away')).toContainEqual(
        expect.objectContaining({ host: silent.endpoint, reason: 'no answer' }),
      );
    },
    { withinMs: SOON_MS },
  );
  for (let write = 0; write < 20; write++)
    await term
      .txn()
      .then(alice.client.put(`${world.prefix}log`).value(write))
      .commit();
  // If etcd itself stalls, the sound host is silent too, until it answers.
  const ofSound = (event: string): number =>
    log.of(event).filter((line) => line['host'] === sound.endpoint).length;
  expect(ofSound('host.away')).toBe(ofSound('host.back'));
  await alice.election.close(); // this closes its connections through the proxy
});

test('a host that refuses connections makes no write fail while another one is healthy', async ({
  candidate,
  world,
}) => {
  const [etcd] = world.etcd.endpoints;
  const alice = candidate('alice', { hosts: [`http://127.0.0.1:${(await reservePort()).port}`, etcd!] });
  const term = await alice.campaign();
  for (let write = 0; write < 30; write++)
    await term
      .txn()
      .then(alice.client.put(`${world.prefix}log`).value(write))
      .commit();
});

describe('connections of a client', () => {
  test('close when its last election closes, although the client stays open', async ({
    candidate,
    client,
    world,
  }) => {
    await using host = await startSwitchboard(world.etcd.endpoints[0]!);
    const ours = client({ hosts: host.endpoint });
    const [alice, bob] = ['a', 'b'].map((election) => candidate(election, { client: ours, election }));
    for (const one of [alice!, bob!]) await one.campaign();
    expect(host.connected).toBeGreaterThan(0);

    await alice!.election.close();
    expect(await bob!.election.leader()).toMatchObject({ value: 'b' });
    await bob!.election.close();
    await eventually(() => host.connected === 0, { withinMs: 500 });
  });

  test('close soon after their owner closes the client, and the next candidate leads after one TTL', async ({
    candidate,
    client,
    world,
  }) => {
    await using host = await startSwitchboard(world.etcd.endpoints[0]!);
    const ours = client({ hosts: host.endpoint });
    const alice = candidate('alice', { client: ours, ttlSeconds: SHORT_TTL_SECONDS });
    const bob = candidate('bob', { ttlSeconds: SHORT_TTL_SECONDS });
    const term = await alice.campaign();
    void bob.campaign();
    await bob.queued();

    ours.close();
    await eventually(() => host.connected === 0, { withinMs: 2_000 });
    await eventually(() => !term.isCurrent(), { withinMs: SHORT_TTL_SECONDS * 1_000 });
    await bob.elected(SHORT_TTL_SECONDS * 1_000 + SOON_MS);
  });
});
