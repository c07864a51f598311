// A firewall or NAT gateway that loses its state silences all connections at once, while new ones work. The client then waited
// for the silence of each host in turn, and a leader with three hosts lost its term.
import { once, type EventEmitter } from 'node:events';
import type { Etcd3, ILeaseKeepAliveRequest, ILeaseKeepAliveResponse } from 'etcd3';
import { expect, onTestFinished } from 'vitest';
import { sharedClientOf } from '../../src/client/shared-client.ts';
import type { Host, OpenStream } from '../../src/etcd/transport.ts';
import { eventually } from '../support/eventually.ts';
import { startSwitchboard } from '../support/switchboard.ts';
import { SOON_MS, test } from '../support/world.ts';

/** The limit of one read. A read on a new connection takes milliseconds. */
const READ_WITHIN_MS = 2_000;

const read = (client: Etcd3, avoid?: Host): Promise<boolean> =>
  sharedClientOf(client)
    .transport.unary('read', (host, options) => host.kv.range({ key: Buffer.from('key') }, options), {
      withinMs: READ_WITHIN_MS,
      avoid,
    })
    .then(
      () => true,
      () => false,
    );

test('L4: when one host answers again on a new connection, the silent connections to the others are replaced', async ({
  client: connect,
  world,
}) => {
  const [etcd] = world.etcd.endpoints;
  await using first = await startSwitchboard(etcd!);
  await using second = await startSwitchboard(etcd!);
  await using third = await startSwitchboard(etcd!);
  const all = [first, second, third];
  const client = connect({ hosts: all.map(({ endpoint }) => endpoint) });
  await eventually(
    async () => {
      await read(client); // at a random host
      expect(all.map(({ connected }) => connected)).toEqual([1, 1, 1]);
    },
    { withinMs: SOON_MS },
  );

  for (const each of all) each.hold();
  expect(await read(client)).toBe(false); // one host is silent, and is dialled again
  expect(await read(client)).toBe(false); // meanwhile that host answers a probe

  const later: boolean[] = [];
  for (let reads = 0; reads < 8; reads++) later.push(await read(client));
  expect(later).toEqual(Array.from({ length: 8 }, () => true));
  client.close();
});

// Only answers to calls counted. So after a pause of one host, the connections to the others were replaced, although renewals and
// watches were answered on them.
test('L4: after a pause of one host, a connection whose streams are answered is kept', async ({
  client: connect,
  world,
}) => {
  const [etcd] = world.etcd.endpoints;
  await using first = await startSwitchboard(etcd!);
  await using second = await startSwitchboard(etcd!);
  const client = connect({ hosts: [first.endpoint, second.endpoint] });
  const { transport } = sharedClientOf(client);
  const { ID: leaseId } = await client.leaseClient.leaseGrant({ TTL: 60 });
  const open = (avoid?: Host): Promise<OpenStream<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>> =>
    transport.stream('renew', (own, call) => own.leaseClient.leaseKeepAlive(call), {
      withinMs: READ_WITHIN_MS,
      avoid,
    });
  const opened: { close(): void }[] = [];
  onTestFinished(() => opened.forEach((stream) => stream.close()));
  const tracked = async (avoid?: Host): ReturnType<typeof open> => {
    const stream = await open(avoid);
    opened.push(stream);
    return stream;
  };

  const stream = await tracked();
  const sound = stream.host;
  const paused = (await tracked(sound)).host;
  const present = sound.client;
  const renew = async (): Promise<void> => {
    const renewed = once(stream.raw as unknown as EventEmitter, 'data');
    stream.raw.write({ ID: leaseId });
    await renewed;
  };
  await renew();

  (paused.address === first.endpoint ? first : second).hold();
  expect(await read(client, sound)).toBe(false); // at the paused host
  await tracked(paused); // begins a probe
  await eventually(
    async () => {
      await renew();
      expect(paused.silentAtMs).toBeUndefined();
    },
    { withinMs: SOON_MS },
  );
  await tracked(paused);
  expect(sound.client === present).toBe(true);
});
