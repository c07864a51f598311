// A firewall or NAT gateway that loses its state silences all connections at once, while new ones work. The client then waited
// for the silence of each host in turn, and a leader with three hosts lost its term.
import type { Etcd3 } from 'etcd3';
import { expect } from 'vitest';
import { sharedClientOf } from '../../src/client/shared-client.ts';
import { eventually } from '../support/eventually.ts';
import { startSwitchboard } from '../support/switchboard.ts';
import { SOON_MS, test } from '../support/world.ts';

/** The limit of one read. A read on a new connection takes milliseconds. */
const READ_WITHIN_MS = 2_000;

const read = (client: Etcd3): Promise<boolean> =>
  sharedClientOf(client)
    .transport.unary('read', (host, options) => host.kv.range({ key: Buffer.from('key') }, options), {
      withinMs: READ_WITHIN_MS,
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
