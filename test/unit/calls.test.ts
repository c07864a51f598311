import { subscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3, type IOptions } from 'etcd3';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { sharedClientOf } from '../../src/client/shared-client.ts';
import type { EtcdTransport } from '../../src/etcd/transport.ts';
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
    sharedClientOf(client).transport.rest();
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

  test('although the service config of the user asks gRPC to repeat what fails', async () => {
    const etcd = await grpcServer(() => ({ status: 14, message: 'try again' }));
    const grpcOptions = { 'grpc.service_config': JSON.stringify(serviceConfig) };
    const client = clientOf([etcd.host], { grpcOptions });

    await expect(write(sharedClientOf(client).transport)).rejects.toMatchObject({
      kind: 'unavailable',
      mayHaveHappened: true,
    });
    expect(etcd.asked).toEqual(['Txn']);

    // The config is in force: on the client of the user gRPC repeats it, beyond the three tries of etcd3.
    await client.kv.txn({}).catch(() => undefined);
    expect(etcd.asked.length).toBeGreaterThan(1 + 3);
  });
});

describe('a host that kept silent', () => {
  /** A member that can be told to keep silent on some calls. */
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
    await clock.advance(1_000); // it has said nothing for a while
    while (!events.includes('host.away')) await read(transport);
    const before = writes(silent.asked);

    silent.mute.delete('Status'); // it runs again, and cannot reach the others yet
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

/** Sockets of clients, as Node announces them. */
const dialled: Socket[] = [];
subscribe('net.client.socket', (message) => void dialled.push((message as { socket: Socket }).socket));

test('a host that refuses connections from now on costs no write: what was not sent goes on to the next one', async () => {
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
  expect(events).toEqual([]); // nothing has told yet that it is gone
  for (let times = 0; times < 30; times++) await write(transport);
  expect(writes()).toBe(before + 30);
  expect(events).toEqual(['host.away']);
});
