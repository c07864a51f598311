// What must not make a suspect of a sound host, or cost its connection.
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3, type IOptions } from 'etcd3';
import { expect, onTestFinished, test } from 'vitest';
import { sharedClientOf } from '../../src/client/shared-client.ts';
import type { Asking } from '../../src/etcd/calls.ts';
import { EtcdError } from '../../src/etcd/etcd-error.ts';
import { SILENT_AFTER_MS } from '../../src/etcd/host-selector.ts';
import type { EtcdTransport } from '../../src/etcd/transport.ts';
import { bytesField } from '../../src/last-will/grpc.ts';
import { eventually } from '../support/eventually.ts';
import { grpcServer, headerOf, type Answer, type GrpcServer } from '../support/grpc-server.ts';

const CLUSTER = 7n;
const sound: Answer = { body: headerOf(CLUSTER) };
const LONG_MS = 5_000;

interface Client {
  readonly etcd: Etcd3;
  readonly transport: EtcdTransport;
  /** The hosts that became suspects. */
  readonly away: string[];
  readonly read: (withinMs: number, asking?: Asking) => Promise<unknown>;
  readonly write: (withinMs: number, asking?: Asking) => Promise<unknown>;
}

function clientOf(hosts: readonly GrpcServer[], options: Partial<IOptions> = {}): Client {
  const etcd = new Etcd3({ ...options, hosts: hosts.map(({ host }) => host) });
  const { transport } = sharedClientOf(etcd);
  onTestFinished(() => {
    etcd.close();
    transport.closeWhenUnused();
  });
  const away: string[] = [];
  transport.tell = (event) => {
    if (event.type === 'host.away') away.push(event.host);
  };
  const key = Buffer.from('k');
  return {
    etcd,
    transport,
    away,
    read: (withinMs, asking) =>
      transport.unary('read', (own, call) => own.kv.range({ key }, call), { ...asking, withinMs }),
    write: (withinMs, asking) =>
      transport.unary('write', (own, call) => own.kv.txn({}, call), { ...asking, withinMs }),
  };
}

const threeHosts = async (answer: (name: string) => Answer | undefined): Promise<GrpcServer[]> =>
  await Promise.all([grpcServer(answer), grpcServer(answer), grpcServer(answer)]);

test.for([
  [
    'an answer that is too large',
    'Range',
    { body: Buffer.concat([headerOf(CLUSTER), bytesField(2, Buffer.alloc(2_000))]) },
  ],
  [
    'a request that is too large',
    'Txn',
    { status: 8, message: 'grpc: received message larger than max (3000000 vs. 2097152)' },
  ],
] as const)('%s makes no suspect of its host', async ([, call, answer]) => {
  // A small limit: on a busy machine, an answer above gRPC's own 4 MiB may come later than a host may be silent.
  const options = { grpcOptions: { 'grpc.max_receive_message_length': 1_024 } };
  const hosts = await threeHosts((name) => (name === call ? answer : sound));
  const { away, read, write } = clientOf(hosts, options);
  for (let times = 0; times < 4; times++)
    await (call === 'Range' ? read(LONG_MS) : write(LONG_MS, { lane: 'caller' })).catch(() => undefined);
  expect(away).toEqual([]);
});

test('a call with too little time makes no host suspect, and drops no token', async () => {
  const token = { body: Buffer.concat([headerOf(CLUSTER), Buffer.from([0x12, 1, 0x74])]) };
  const hosts = await threeHosts((name) => (name === 'Authenticate' ? token : sound));
  const { away, write } = clientOf(hosts, { auth: { username: 'a', password: 'b' } });
  const authentications = (): number =>
    hosts.reduce((sum, { asked }) => sum + asked.filter((name) => name === 'Authenticate').length, 0);
  for (let times = 0; times < 10; times++) await write(LONG_MS);
  const before = authentications();
  await write(0).catch(() => undefined);
  await write(LONG_MS);
  expect(away).toEqual([]);
  expect(authentications()).toBe(before);
});

test('L4: a call with a short limit leaves time for another host, and makes only the silent host suspect', async () => {
  let isSilent = false;
  const silent = await grpcServer((name) => (isSilent && name === 'Range' ? undefined : sound));
  const hosts = [silent, await grpcServer(() => sound), await grpcServer(() => sound)];
  const { away, read } = clientOf(hosts);
  const timely = (): Promise<unknown> => read(500, { isHedged: true });
  while (hosts.some(({ asked }) => !asked.includes('Range'))) await timely();
  await sleep(SILENT_AFTER_MS + 50); // a host that has just answered is given more time
  isSilent = true;
  for (let times = 0; times < 30 && away.length === 0; times++) await timely(); // rejects if no other host was asked in time
  for (let times = 0; times < 10; times++) await timely();
  expect(away).toEqual([silent.host]);
});

test('the failure of a stream on an earlier connection does not drop the present one', async () => {
  let hangs = false;
  const etcd = await grpcServer((name) =>
    name === 'LeaseKeepAlive' || (hangs && name === 'Range') ? undefined : sound,
  );
  const { transport, read } = clientOf([etcd]);
  await read(LONG_MS);
  const stream = await transport.stream('renew', (own, call) => own.leaseClient.leaseKeepAlive(call), {
    withinMs: LONG_MS,
  });
  hangs = true;
  await read(600).catch(() => undefined); // drops the first connection
  hangs = false;
  await read(LONG_MS);
  await eventually(() => !stream.host.isSlow, { withinMs: LONG_MS });
  const present = stream.host.client;
  stream.fail();
  expect(stream.host.client).toBe(present);
});

test('L3: a connection that we drop while a replaced method waits is not a closed client', async () => {
  const client = clientOf([await grpcServer((name) => (name === 'Range' ? undefined : sound))]);
  const { kv } = client.etcd;
  const txn = Reflect.get(kv, 'txn') as typeof kv.txn; // unbound: it is called on our own connection
  kv.txn = async function waiting(this: typeof kv, ...args) {
    await sleep(100); // for example a limiter, or tracing that awaits
    return await txn.apply(this, args);
  };
  await client.write(LONG_MS);
  const reading = client.read(600).catch(() => undefined); // its limit drops the connection
  await sleep(550);
  const outcome = await client.write(LONG_MS).catch((fault: unknown) => fault);
  await reading;
  if (outcome instanceof EtcdError) expect(outcome.kind).toBe('unavailable');
});
