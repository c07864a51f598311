import { subscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3, type IOptions } from 'etcd3';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { sharedClientOf } from '../../src/client/shared-client.ts';
import { reservePort } from '../../src/dev/ports.ts';
import type { EtcdTransport } from '../../src/etcd/transport.ts';
import { bytesField } from '../../src/last-will/grpc.ts';
import { eventually } from '../support/eventually.ts';
import type { FakeClock } from '../support/fake-clock.ts';
import { grpcServer, headerOf, type Answer } from '../support/grpc-server.ts';

const { fake } = await vi.hoisted(async () => {
  const { FakeClock: Fake } = await import('../support/fake-clock.ts');
  return { fake: new Fake() };
});
vi.mock('../../src/util/clock.ts', async (original) => ({ ...(await original<object>()), clock: fake }));

const CLUSTER_ID = 7n;
const WITHIN = { withinMs: 5_000 };

function clientOf(hosts: string[], options: Partial<IOptions> = {}): Etcd3 {
  const client = new Etcd3({ hosts, ...options });
  onTestFinished(() => {
    client.close();
    sharedClientOf(client).transport.closeWhenUnused();
  });
  return client;
}

const write = (transport: EtcdTransport): Promise<unknown> =>
  transport.unary('commit', (own, options) => own.kv.txn({}, options), WITHIN);

const read = (transport: EtcdTransport): Promise<unknown> =>
  transport.unary('read', (own, options) => own.kv.range({ key: Buffer.from('k') }, options), {
    ...WITHIN,
    isHedged: true,
  });

describe('S1: a write is sent once', () => {
  const serviceConfig = {
    methodConfig: [
      {
        name: [{}],
        retryPolicy: {
          maxAttempts: 4,
          initialBackoff: '0.01s',
          maxBackoff: '0.01s',
          backoffMultiplier: 1,
          retryableStatusCodes: ['UNAVAILABLE'],
        },
      },
    ],
  };

  test("even if the user's service config tells gRPC to repeat failed calls", async () => {
    const etcd = await grpcServer(() => ({ status: 14, message: 'try again' }));
    const grpcOptions = { 'grpc.service_config': JSON.stringify(serviceConfig) };
    const client = clientOf([etcd.host], { grpcOptions });

    await expect(write(sharedClientOf(client).transport)).rejects.toMatchObject({
      kind: 'unavailable',
      mayHaveHappened: true,
    });
    expect(etcd.asked).toEqual(['Txn']);

    // The config is in force: on the user's client gRPC repeats the call, in addition to the three tries of etcd3.
    await client.kv.txn({}).catch(() => undefined);
    expect(etcd.asked.length).toBeGreaterThan(1 + 3);
  });
});

test.for([
  { refusals: 1, asked: 2, says: 'is sent once more' },
  { refusals: 9, asked: 2, says: 'is not sent a third time' },
])('S1: a write that a closing connection refuses unread $says', async ({ refusals, asked }) => {
  let left = refusals;
  const etcd = await grpcServer(() =>
    left-- > 0 ? { isRefused: true } : { body: bytesField(1, headerOf(CLUSTER_ID)) },
  );
  const { transport } = sharedClientOf(clientOf([etcd.host]));
  const outcome = await write(transport).then(
    () => 'written',
    (fault: unknown) => fault,
  );
  if (refusals === 1) expect(outcome).toBe('written');
  else expect(outcome).toMatchObject({ kind: 'unavailable', mayHaveHappened: false });
  expect(etcd.asked).toHaveLength(asked);
});

test.for(['the last election', "the user's client"])(
  'a token that is still being fetched when %s is closed leaves no connection open',
  async (closed) => {
    let fetched = 0;
    const refusal = { status: 3, message: 'etcdserver: authentication failed, invalid user ID or password' };
    const answer = (name: string): Answer | undefined => {
      if (name !== 'Authenticate') return { body: headerOf(CLUSTER_ID) };
      return ++fetched === 1 ? undefined : refusal; // so the other host is asked too
    };
    const etcds = [await grpcServer(answer), await grpcServer(answer)];
    const client = clientOf(
      etcds.map(({ host }) => host),
      { auth: { username: 'alice', password: 'secret' } },
    );
    const { transport } = sharedClientOf(client);
    const abort = new AbortController();
    const writing = transport.unary('commit', (own, options) => own.kv.txn({}, options), {
      ...WITHIN,
      signal: abort.signal,
    });
    await eventually(() => fetched === 1, WITHIN);
    abort.abort();
    await expect(writing).rejects.toMatchObject({ kind: 'aborted' });
    if (closed === 'the last election') transport.closeWhenUnused();
    else client.close();
    await fake.advance(1_000); // the first host counts as silent

    await eventually(() => fetched === 2, WITHIN);
    await eventually(() => etcds.every(({ connections }) => connections() === 0), WITHIN);
  },
);

test('S1: a write whose token could not be fetched was not sent, and its error says so', async () => {
  const etcd = await grpcServer(() => ({ status: 14, message: 'try again' }));
  const auth = { username: 'alice', password: 'secret' };
  const { transport } = sharedClientOf(clientOf([etcd.host], { auth }));
  await expect(write(transport)).rejects.toMatchObject({ kind: 'unavailable', mayHaveHappened: false });
  expect(etcd.asked).toEqual(['Authenticate']);
});

describe('a host that was silent', () => {
  /** A member that is silent on some calls on request. */
  async function member() {
    const mute = new Set<string>();
    const server = await grpcServer((name): Answer | undefined =>
      mute.has(name) ? undefined : { body: headerOf(CLUSTER_ID) },
    );
    return { ...server, mute };
  }
  const writes = (asked: readonly string[]): number => asked.filter((name) => name === 'Txn').length;

  test('gets no write before it has answered a probe with a linearizable read', async () => {
    const clock: FakeClock = fake;
    const [silent, sound] = [await member(), await member()];
    const transport = sharedClientOf(clientOf([silent.host, sound.host])).transport;
    const events: string[] = [];
    transport.tell = ({ type }) => void events.push(type);
    while (writes(silent.asked) === 0) await write(transport);

    for (const name of ['Status', 'Range', 'Txn']) silent.mute.add(name);
    await clock.advance(1_000); // it was silent for a while
    while (!events.includes('host.away')) await read(transport);
    const before = writes(silent.asked);

    silent.mute.delete('Status'); // it runs again, but cannot reach the others yet
    await clock.advance(5_000);
    const probes = silent.asked.length;
    while (silent.asked.slice(probes).filter((name) => name === 'Range').length === 0) {
      await write(transport);
      await sleep(5);
    }
    for (let times = 0; times < 30; times++) await write(transport);
    expect(writes(silent.asked)).toBe(before);
    expect(events).toEqual(['host.away']);

    silent.mute.clear();
    while (!events.includes('host.back')) {
      await clock.advance(5_000);
      await write(transport);
      if (!events.includes('host.back')) expect(writes(silent.asked)).toBe(before);
      await sleep(5);
    }
    while (writes(silent.asked) === before) await write(transport);
  }, 20_000);
});

/** Client sockets, as Node announces them. */
const dialled: Socket[] = [];
subscribe('net.client.socket', (message) => void dialled.push((message as { socket: Socket }).socket));

test('a write that a host did not get, because it refuses connections, goes to the next host', async () => {
  const answer = (): Answer => ({ body: headerOf(CLUSTER_ID) });
  const [gone, sound] = [await grpcServer(answer), await grpcServer(answer)];
  const transport = sharedClientOf(clientOf([gone.host, sound.host])).transport;
  const events: string[] = [];
  transport.tell = ({ type }) => void events.push(type);
  const writes = (): number => sound.asked.filter((name) => name === 'Txn').length;
  while (!gone.asked.includes('Txn') || writes() === 0) await write(transport);
  const before = writes();
  const port = Number(new URL(`http://${gone.host}`).port);
  const connection = dialled.find(({ remotePort }) => remotePort === port)!;

  gone.stop();
  await eventually(() => connection.destroyed, { withinMs: 5_000 });
  expect(events).toEqual([]); // its absence is not known yet
  for (let times = 0; times < 30; times++) await write(transport);
  expect(writes()).toBe(before + 30);
  expect(events).toEqual(['host.away']);
});

test('L4: a connection that gRPC has made again by itself is dropped when it falls silent', async () => {
  const answer = (): Answer => ({ body: headerOf(CLUSTER_ID) });
  using reservation = await reservePort();
  const { port } = reservation;
  const first = await grpcServer(answer, port);
  const { transport } = sharedClientOf(clientOf([first.host]));
  /** As the application writes: such a call dials no host again. */
  const put = ({ withinMs } = WITHIN): Promise<unknown> =>
    transport.unary('put', (own, options) => own.kv.txn({}, options), { withinMs, lane: 'caller' });
  const outcome = async (): Promise<string> => {
    await fake.advance(1_000);
    return await put().then(
      () => 'written',
      (fault: unknown) => String(fault),
    );
  };
  await put();
  first.stop();
  await eventually(async () => /ECONNREFUSED/.test(await outcome()), WITHIN);
  let isSilent = false;
  const again = await grpcServer(() => (isSilent ? undefined : answer()), port);
  await eventually(async () => (await outcome()) === 'written', WITHIN);
  const connection = (): Socket | undefined => dialled.findLast(({ remotePort }) => remotePort === port);
  const before = connection();

  isSilent = true;
  for (let times = 0; times < 2; times++) {
    const asked = again.asked.length;
    const silenced = put({ withinMs: 500 });
    await eventually(() => again.asked.length > asked, WITHIN);
    await Promise.all([fake.advance(500), expect(silenced).rejects.toThrow(/no answer within/)]);
    await fake.advance(3_600_000); // long after the dial: this clock ran fast then, so the network looks slow
  }
  isSilent = false;
  await put();
  expect(connection()).not.toBe(before);
});

test('without cluster IDs, the roll call of one silent host is not repeated for each call', async () => {
  const proxy = await grpcServer(() => ({ body: bytesField(1, '') }));
  const silent = await grpcServer(() => undefined);
  const transport = sharedClientOf(clientOf([proxy.host, silent.host])).transport;
  /** Lets the roll call and the silence pass, but not the limit of the call. Before that, a new connection needs real time. */
  const answered = async (call: Promise<unknown>): Promise<void> => {
    await eventually(() => silent.asked.length > 0, WITHIN);
    for (let ms = 0; ms < WITHIN.withinMs / 2; ms += 100) {
      await fake.advance(100);
      await sleep(10);
    }
    await call;
  };
  const rollCalls = (): number => proxy.asked.filter((name) => name === 'Status').length;
  await answered(read(transport));
  const before = rollCalls();
  expect(before).toBeGreaterThan(0);
  await answered(read(transport));
  expect(rollCalls()).toBe(before);
});

describe('L3: a refused token is fetched again, at most twice for one call', () => {
  /** @returns the names of all calls: etcd accepts the third token, or none. */
  async function asked(isAccepted: (tokens: number) => boolean): Promise<string[]> {
    let tokens = 0;
    const token = (): Buffer =>
      Buffer.concat([headerOf(CLUSTER_ID), bytesField(2, Buffer.from(`token ${++tokens}`))]);
    const etcd = await grpcServer((name): Answer => {
      if (name === 'Authenticate') return { body: token() };
      if (name === 'Status' || isAccepted(tokens)) return { body: headerOf(CLUSTER_ID) };
      return { status: 16, message: 'etcdserver: invalid auth token' };
    });
    const client = clientOf([etcd.host], { auth: { username: 'alice', password: 'secret' } });
    const reading = read(sharedClientOf(client).transport);
    if (isAccepted(Infinity)) await reading;
    else
      await expect(reading).rejects.toMatchObject({ message: expect.stringMatching(/invalid auth token/) });
    return etcd.asked.filter((name) => name !== 'Status');
  }
  const round = ['Authenticate', 'Range'];

  test('users changed while the new token was fetched: the third token is accepted', async () => {
    expect(await asked((tokens) => tokens > 2)).toEqual([...round, ...round, ...round]);
  });

  test('G5: etcd accepts none: the call fails', async () => {
    expect(await asked(() => false)).toEqual([...round, ...round, ...round]);
  });
});

test('L3: an answer without a header is not an answer of etcd: an outage, not a bug', async () => {
  const other = await grpcServer(() => ({ body: Buffer.alloc(0) }));
  const { transport } = sharedClientOf(clientOf([other.host]));
  await expect(read(transport)).rejects.toMatchObject({ kind: 'unavailable', mayHaveHappened: false });
});

test('a service whose channel joins a back-off names the cause that another service of the client got', async () => {
  const reserved = await grpcServer(() => ({ body: bytesField(1, headerOf(CLUSTER_ID)) }));
  reserved.stop();
  const { transport } = sharedClientOf(clientOf([reserved.host]));
  await expect(write(transport)).rejects.toThrow(/^commit: connect ECONNREFUSED/);

  const granted = transport.unary('grant', (own, options) => own.leaseClient.leaseGrant({}, options), {
    ...WITHIN,
    lane: 'lease',
  });
  await expect(granted).rejects.toMatchObject({
    message: expect.stringMatching(/^grant: connect ECONNREFUSED/) as string,
    kind: 'unavailable',
    mayHaveHappened: false,
  });
  // A call of the application gets the reason of the last failure without asking gRPC.
  const put = transport.unary('put', (own, options) => own.kv.txn({}, options), {
    ...WITHIN,
    lane: 'caller',
  });
  await expect(put).rejects.toThrow(/^put: connect ECONNREFUSED/);
});
