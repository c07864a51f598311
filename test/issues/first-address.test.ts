// If a name had several addresses, as that of a headless service in Kubernetes, every connection began with the first one. If that
// member was cut off from the others, the client never led again.
import dns from 'node:dns';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { startEtcd } from 'etcd-election/dev';
import { expect, onTestFinished, vi } from 'vitest';
import { SOON_MS, test } from '../support/world.ts';

/** The first member gets one call, which takes 2.5 s. The second member then leads at once. */
const SECOND_TRY_MS = 2_500 + SOON_MS;

const NAME = 'etcd.test';

/** Listens on an address of this machine. Other systems than Linux have no addresses like 127.0.0.2. */
async function relay(
  address: string,
  port: number,
  target: string,
): Promise<AsyncDisposable & { readonly port: number }> {
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const member = connect(Number(new URL(target).port), '127.0.0.1');
    for (const [from, to] of [
      [client, member],
      [member, client],
    ] as const) {
      open.add(from);
      from.pipe(to);
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    }
  }).listen(port, address);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of open) socket.destroy();
      await once(server, 'close');
    },
  };
}

test.skipIf(process.platform !== 'linux')(
  'L5: a first address whose member is cut off does not keep a client away from the others',
  async ({ candidate }) => {
    await using etcd = await startEtcd({ members: 3, peerNetwork: true });
    const [first, second] = etcd.endpoints as [string, string];
    await using relayed = await relay('127.0.0.1', 0, first);
    const { port } = relayed;
    await using _second = await relay('127.0.0.2', port, second);
    const { lookup } = dns.promises;
    const several = (name: string, options: dns.LookupAllOptions): Promise<dns.LookupAddress[]> =>
      name === NAME
        ? Promise.resolve(['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 })))
        : lookup(name, options);
    vi.spyOn(dns.promises, 'lookup').mockImplementation(several as typeof lookup);
    onTestFinished(() => void vi.restoreAllMocks());

    etcd.members[0]!.isolate();
    const alice = candidate('alice', { hosts: `http://${NAME}:${port}` });
    void alice.campaign().catch(() => undefined);

    await expect.poll(() => alice.election.isCurrent(), { timeout: SECOND_TRY_MS }).toBe(true);
    await alice.election.close();
  },
);
