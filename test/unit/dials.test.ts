import dns from 'node:dns';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { createSecureServer, createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { rootCertificates } from 'node:tls';
import { Worker } from 'node:worker_threads';
import { Etcd3 } from 'etcd3';
import { expect, onTestFinished, test, vi } from 'vitest';
import { reservePort } from '../../src/dev/ports.ts';
import { Host } from '../../src/etcd/host.ts';
import { clock } from '../../src/util/clock.ts';
import { certificates } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';

const tls = { credentials: { rootCertificate: Buffer.from(rootCertificates[0]!) } };

function hostAt(port: number, options: object, name = '127.0.0.1'): Host {
  const address = `${'credentials' in options ? 'https' : 'http'}://${name}:${port}`;
  const users = new Etcd3({ hosts: address, ...options });
  const host = new Host(users, address);
  onTestFinished(() => {
    host.drop();
    users.close();
  });
  return host;
}

/** The sockets that this process opens from now on. */
function openedSockets(): readonly Socket[] {
  const opened: Socket[] = [];
  const note = (message: unknown): void => void opened.push((message as { socket: Socket }).socket);
  subscribe('net.client.socket', note);
  onTestFinished(() => void unsubscribe('net.client.socket', note));
  return opened;
}

const ask = (host: Host): void => void host.client.kv.range({ key: Buffer.from('k') }).catch(() => undefined);
const within = { withinMs: 5_000 };

test.for([
  ['HTTP/2', {}],
  ['TLS', tls],
] as const)('G5: a dropped connection to a host that never answers is closed: %s', async ([, options]) => {
  const server = createServer((socket) => socket.on('error', () => undefined));
  onTestFinished(() => void server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const host = hostAt((server.address() as AddressInfo).port, options);
  for (let dial = 0; dial < 2; dial++) {
    ask(host);
    const [atServer] = (await once(server, 'connection')) as [Socket];
    await once(atServer, 'data'); // the handshake has begun
    const closed = once(atServer, 'close');
    host.drop();
    await closed;
  }
});

test.for(['HTTP/2', 'TLS'])('calls on a dropped connection that has answered go on: %s', async (over) => {
  const pem = over === 'TLS' ? await certificates() : undefined;
  const server = pem === undefined ? createHttp2Server() : createSecureServer(pem);
  onTestFinished(async () => {
    server.close();
    await pem?.remove();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const credentials = pem && { credentials: { rootCertificate: Buffer.from(pem.ca) } };
  const host = hostAt((server.address() as AddressInfo).port, { ...credentials });
  const answer = host.client.kv.range({ key: Buffer.from('k') });
  const [stream] = (await once(server, 'stream')) as [ServerHttp2Stream];
  host.drop();
  await nextTurn(); // it ends dials in a turn of its own
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': 0 }));
  stream.end(Buffer.alloc(5)); // an empty message
  expect((await answer).kvs).toEqual([]);
});

/** A port whose host accepts no connection: its thread stands still, and its queue is full. */
const DEAF = `
  const { createServer } = require('node:net');
  const { parentPort } = require('node:worker_threads');
  const server = createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
    parentPort.postMessage(server.address().port);
    setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
  });`;

// Only Linux drops the packets of further connections.
test.skipIf(process.platform !== 'linux')('G5: a dropped dial that TCP does not answer ends', async () => {
  const worker = new Worker(DEAF, { eval: true });
  onTestFinished(() => void worker.terminate());
  const [port] = (await once(worker, 'message')) as [number];
  const fillers = Array.from({ length: 4 }, () => connect(port, '127.0.0.1').on('error', () => undefined));
  onTestFinished(() => fillers.forEach((filler) => filler.destroy()));
  await Promise.race(fillers.map((filler) => once(filler, 'connect')));
  const opened = openedSockets();
  const host = hostAt(port, {});
  ask(host);
  const dial = await eventually(() => {
    const found = opened.find(({ connecting }) => connecting);
    if (found === undefined) throw new Error('no dial yet');
    return found;
  }, within);
  host.drop();
  await eventually(() => dial.destroyed, within);
});

test('L4: the time for which a host was away does not count as a slow network', async () => {
  using reservation = await reservePort();
  const { port } = reservation;
  const host = hostAt(port, {});
  await expect(host.client.kv.range({ key: Buffer.from('k') })).rejects.toThrow('No connection established');
  const { client } = host;

  const awayForMs = 600_000;
  const now = clock.now.bind(clock);
  vi.spyOn(clock, 'now').mockImplementation(() => now() + awayForMs);
  onTestFinished(() => void vi.restoreAllMocks());
  let isConnected = false;
  const http2 = createHttp2Server().on('session', () => (isConnected = true));
  onTestFinished(() => void http2.close());
  http2.listen(port, '127.0.0.1');
  await eventually(() => {
    ask(host); // so that gRPC dials again
    return isConnected;
  }, within);
  const connectedAtMs = host.ageMs;
  await eventually(() => host.ageMs > connectedAtMs + 1_000, within);
  host.dropSilent(host.client);
  expect(host.client).not.toBe(client);
});

test.for([
  ['L5: a new connection on a slow network is kept until its first answer can be there', 300, true],
  ['L5: a new connection to a host that falls silent after a quick handshake is dropped', 0, false],
] as const)('%s', async ([, delayMs, isKept]) => {
  const http2 = createHttp2Server();
  const server = createServer((socket) => void setTimeout(() => http2.emit('connection', socket), delayMs));
  onTestFinished(() => void server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const host = hostAt((server.address() as AddressInfo).port, {});
  ask(host);
  const { client } = host;
  // A slow host is silent later: five times as long as its first bytes took.
  await eventually(() => host.isSlow === isKept && host.ageMs > 600, within);
  host.dropSilent(client);
  expect(host.client === client).toBe(isKept);
});

test('L4: a suspension during a dial does not make the connection count as slow for long', async () => {
  let greet = (): void => undefined;
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    greet = () => void socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])); // an empty SETTINGS frame, then silence
  });
  onTestFinished(() => void server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const host = hostAt((server.address() as AddressInfo).port, {});
  let suspendedMs = 0;
  const now = clock.now.bind(clock);
  vi.spyOn(clock, 'now').mockImplementation(() => now() + suspendedMs);
  onTestFinished(() => void vi.restoreAllMocks());
  const { client } = host;
  ask(host);
  await once(server, 'connection');
  suspendedMs += 20_000; // before the first bytes
  greet();
  await eventually(() => host.isSlow, { withinMs: 5_000 });
  suspendedMs += 10_000;
  host.dropSilent(client);
  expect(host.client).not.toBe(client);
});

test.skipIf(process.platform !== 'linux')(
  'L5: a name whose second address never completes a dial does not keep a client away from the first',
  async () => {
    const pem = await certificates();
    onTestFinished(() => pem.remove());
    let dialsOfFirst = 0;
    const first = createSecureServer(pem).on('session', () => dialsOfFirst++);
    onTestFinished(() => void first.close());
    first.listen(0, '127.0.0.1');
    await once(first, 'listening');
    const { port } = first.address() as AddressInfo;
    let dialsOfSecond = 0;
    const second = createServer((socket) => {
      dialsOfSecond++;
      socket.on('error', () => undefined); // no handshake, as of a machine that is switched off
    });
    onTestFinished(() => void second.close());
    second.listen(port, '127.0.0.2');
    await once(second, 'listening');
    vi.spyOn(dns.promises, 'lookup').mockImplementation((() =>
      Promise.resolve(['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 })))) as never);
    onTestFinished(() => void vi.restoreAllMocks());
    const host = hostAt(port, { credentials: { rootCertificate: Buffer.from(pem.ca) } }, 'localhost');
    ask(host);
    await eventually(() => dialsOfFirst === 1 && !host.isSlow, within);
    host.dropSilent(host.client); // it was silent for a moment
    ask(host);
    await eventually(() => dialsOfSecond === 1, within);
    host.dropSilent(host.client);
    ask(host);
    await eventually(() => dialsOfFirst === 2, within);
  },
);

test('G5: a silent DNS server gets one lookup, and the client dials when the answer comes', async () => {
  const server = createServer((socket) => socket.on('error', () => undefined));
  onTestFinished(() => void server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  let answer = (_addresses: dns.LookupAddress[]): void => undefined;
  const addresses = new Promise<dns.LookupAddress[]>((resolve) => (answer = resolve));
  const lookup = vi.spyOn(dns.promises, 'lookup').mockImplementation((() => addresses) as never);
  const resolveTxt = vi.spyOn(dns.promises, 'resolveTxt').mockResolvedValue([]);
  onTestFinished(() => void vi.restoreAllMocks());
  const host = hostAt((server.address() as AddressInfo).port, {}, 'silent.test');
  const { client } = host;
  for (let call = 1; call <= 3; call++) {
    ask(host);
    await eventually(() => lookup.mock.calls.length > 0, within);
    host.dropSilent(host.client);
    await nextTurn(); // a client is dropped in a turn of its own
  }
  ask(host);
  await nextTurn();
  expect(lookup).toHaveBeenCalledTimes(1);
  expect(host.client).toBe(client);
  expect(resolveTxt).not.toHaveBeenCalled();

  const dialled = once(server, 'connection');
  answer([{ address: '127.0.0.1', family: 4 }]);
  await dialled;
  host.dropSilent(client); // now the host is silent
  expect(host.client).not.toBe(client);
});
