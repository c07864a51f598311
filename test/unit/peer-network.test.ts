import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { onTestFinished, test } from 'vitest';
import { PeerNetwork } from '../../src/dev/peer-network.ts';
import { within } from '../support/eventually.ts';

const ENDS_WITHIN_MS = 5_000;
const SOCKS = Buffer.from([5, 1, 0]); // version 5, one method: no authentication

const connectTo = (host: string): Buffer =>
  Buffer.from([5, 1, 0, 3, host.length, ...Buffer.from(host), 0, 0]);

/** A network with one member, and a connection of that member to its SOCKS server. */
async function dialler(peerPort: number): Promise<{ network: PeerNetwork; socket: Socket }> {
  const network = new PeerNetwork();
  const { env } = await network.join('m1', peerPort);
  const socket = connect(Number(new URL(env['HTTP_PROXY']!).port), '127.0.0.1');
  socket.on('error', () => undefined);
  onTestFinished(() => {
    network.close();
    socket.destroy();
  });
  await once(socket, 'connect');
  return { network, socket };
}

test('close() ends a connection in the middle of its handshake', async () => {
  const { network, socket } = await dialler(1);
  socket.write(SOCKS);
  await once(socket, 'data');
  const ended = once(socket, 'close');
  network.close();
  await within(ENDS_WITHIN_MS, 'the end of the handshake', ended);
});

test('if the dialling member gives up, the connection to the dialled member ends too', async () => {
  const member = createServer();
  onTestFinished(() => void member.close());
  member.listen(0, '127.0.0.1');
  await once(member, 'listening');
  const accepted = once(member, 'connection') as Promise<[Socket]>;
  const { socket } = await dialler((member.address() as AddressInfo).port);
  socket.write(Buffer.concat([SOCKS, connectTo('m1.invalid')]));
  socket.resetAndDestroy();
  const [atMember] = await within(ENDS_WITHIN_MS, 'the dial', accepted);
  atMember.resume().on('error', () => undefined);
  await within(ENDS_WITHIN_MS, 'the end of the connection to the member', once(atMember, 'close'));
});
