import { once } from 'node:events';
import { type Socket, connect, createServer } from 'node:net';
import { type FaultyProxy, startProxy } from 'etcd-election/dev';
import { beforeEach, describe, expect, inject, onTestFinished, test } from 'vitest';
import { etcdOverHttp } from '../support/etcd-over-http.ts';

/** On one machine a round trip takes less than a millisecond: a connection that is quiet for this long got no data. */
const QUIET_MS = 200;

beforeEach(() => {
  // Registered first and so called last, after the test's own objects are closed.
  onTestFinished(async () => {
    const ours = (): string[] => process.getActiveResourcesInfo().filter((name) => name.startsWith('TCP'));
    await expect.poll(ours, { message: 'sockets left' }).toEqual([]);
  });
});

describe('a network without faults', () => {
  test('passes all data on in both directions, and counts it', async () => {
    const { proxy, dial } = await network();
    const client = await dial();
    const sent = Buffer.alloc(5_000_000, 'etcd');

    const received = everything(client);
    client.end(sent);

    expect((await received).equals(sent)).toBe(true);
    expect(proxy).toMatchObject({
      connections: 1,
      bytesUp: sent.length,
      bytesDown: sent.length,
      bytesLost: 0,
    });
    await expect.poll(() => proxy.openConnections).toBe(0);
  });

  test('tells the client when the server closes', async () => {
    const { dial, server } = await network();
    const client = await dial();

    server.killAll();

    expect(await endOf(client)).toBe('ECONNRESET');
  });

  test('has the scheme of its target, and refuses to start without an address', async () => {
    await using proxy = await startProxy({ target: 'https://127.0.0.1:2379' });

    expect(proxy.endpoint).toBe(`https://127.0.0.1:${proxy.port}`);
    await expect(startProxy({ target: '127.0.0.1' })).rejects.toThrow('an address needs a port');
  });
});

describe('cut', () => {
  test('ends connections and refuses new ones until it is restored on the same port', async () => {
    const { proxy, dial, server } = await network();
    const client = await dial();

    proxy.cut();
    expect(await endOf(client)).toBe('closed');
    await expect(dial()).rejects.toThrow('ECONNREFUSED');
    await expect.poll(() => server.connections.size).toBe(0);

    await proxy.restore();
    expect(await echo(await dial(), 'hello')).toBe('hello');
  });

  test('another process takes the port: restore() rejects, and works when the port is free again', async () => {
    const { proxy, dial } = await network();
    proxy.cut();
    const other = createServer().listen(proxy.port, '127.0.0.1');
    await once(other, 'listening');
    const both = await Promise.allSettled([proxy.restore(), proxy.restore()]);
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);

    other.close();
    await once(other, 'close');
    await Promise.all([proxy.restore(), proxy.restore()]);
    expect(await echo(await dial(), 'hello')).toBe('hello');
  });

  test('during restore() ends that restore', async () => {
    const { proxy, dial } = await network();
    proxy.cut();
    const restored = proxy.restore();
    proxy.cut();
    await restored;
    await expect(dial()).rejects.toThrow('ECONNREFUSED');
  });
});

test('port 0 stands for a free port; a value out of range is refused by name', async () => {
  const target = '127.0.0.1:2379';
  await using proxy = await startProxy({ target, port: 0 });
  expect(proxy.port).toBeGreaterThan(0);
  expect(() => proxy.loseReplies({ resetAfterMs: NaN })).toThrow(
    'resetAfterMs: expected a number from 0 to 60000',
  );
  expect(() => proxy.loseReplies({ resetAfterMs: 2 ** 31 })).toThrow('resetAfterMs');
  expect(() => proxy.slow(-1)).toThrow('delayMs');
  await expect(startProxy({ target, port: 65_536 })).rejects.toThrow('port: expected');
});

describe('stall', () => {
  test('keeps the data, and delivers it after the restore', async () => {
    const { proxy, dial } = await network();
    const client = await dial();

    proxy.stall();
    const answer = echo(client, 'hello');
    expect(await isQuiet(client)).toBe(true);
    proxy.resume();

    expect(await answer).toBe('hello');
  });

  test('in one direction leaves the other direction open', async () => {
    const { proxy, dial, server } = await network();
    const client = await dial();
    expect(await echo(client, 'before')).toBe('before');
    const [atServer] = server.connections;

    proxy.stall('down');
    client.write('request');
    await once(atServer ?? client, 'data');
    expect(await isQuiet(client)).toBe(true);
    proxy.resume();
    expect(String((await once(client, 'data'))[0])).toBe('request');

    proxy.stall('up');
    client.write('request');
    expect(await isQuiet(atServer ?? client)).toBe(true);
    atServer?.write('reply');
    expect(String((await once(client, 'data'))[0])).toBe('reply');
  });

  test('accepts new connections, and sends nothing on them', async () => {
    const { proxy, dial } = await network();

    proxy.stall();
    const client = await dial();
    const answer = echo(client, 'hello');
    expect(await isQuiet(client)).toBe(true);
    proxy.resume();

    expect(await answer).toBe('hello');
  });

  test('hides even the end of the server', async () => {
    const { proxy, dial, server } = await network();
    const client = await dial();

    proxy.stall();
    server.killAll();
    expect(await isQuiet(client)).toBe(true);
    expect(client.destroyed).toBe(false);
    proxy.resume();

    expect(await endOf(client)).toBe('ECONNRESET');
  });
});

describe('slow', () => {
  test('delays each direction, and keeps the order when the delay gets shorter', async () => {
    const { proxy, dial } = await network();
    const client = await dial();
    const delayMs = 100;

    proxy.slow(delayMs);
    const before = performance.now();
    const received = everything(client);
    client.write('one ');
    await expect.poll(() => proxy.bytesUp).toBe(4);
    proxy.slow(0);
    client.end('two');

    expect(String(await received)).toBe('one two');
    expect(performance.now() - before).toBeGreaterThanOrEqual(delayMs);
    expect(() => proxy.slow(-1)).toThrow(RangeError);
  });
});

describe('reset', () => {
  test('resets connections, and accepts new ones', async () => {
    const { proxy, dial } = await network();
    const client = await dial();

    proxy.reset();

    expect(await endOf(client)).toBe('ECONNRESET');
    expect(proxy.resets).toBe(1);
    expect(await echo(await dial(), 'hello')).toBe('hello');
  });

  test('of all connections resets and counts the new ones too', async () => {
    const { proxy, dial } = await network();

    proxy.resetAll();
    for (const attempt of [1, 2]) {
      expect(await endOf(knock(proxy))).toBe('ECONNRESET');
      expect(proxy).toMatchObject({ connections: attempt, resets: attempt });
    }

    await proxy.restore();
    expect(await echo(await dial(), 'hello')).toBe('hello');
  });
});

describe('lost replies', () => {
  test('etcd executes the request, and the client cannot know', async () => {
    const [target = ''] = inject('etcd').endpoints;
    await using proxy = await startProxy({ target });
    const key = `dev-proxy/${proxy.port}`;

    proxy.loseReplies();
    await expect(etcdOverHttp(proxy.endpoint).put(key, 'alice')).rejects.toThrow('ECONNRESET');

    expect(await etcdOverHttp(target).get(key)).toBe('alice');
    expect(proxy).toMatchObject({ bytesDown: 0, resets: 1 });
    expect(proxy.bytesLost).toBeGreaterThan(0);

    await proxy.restore();
    expect(await etcdOverHttp(proxy.endpoint).get(key)).toBe('alice');
  });
});

interface EchoServer {
  readonly port: number;
  readonly connections: Set<Socket>;
  readonly accepted: () => Promise<unknown>;
  /** Resets every connection, as a crash of the machine would. */
  readonly killAll: () => void;
}

interface Network {
  readonly server: EchoServer;
  readonly proxy: FaultyProxy;
  /** Connects to the server through the proxy. */
  readonly dial: () => Promise<Socket>;
}

/** An echo server behind a proxy. The end of the test closes both, and all clients. */
async function network(): Promise<Network> {
  const server = await startEchoServer();
  const proxy = await startProxy({ target: `127.0.0.1:${server.port}` });
  onTestFinished(() => proxy.close());
  const dial = async (): Promise<Socket> => {
    const client = knock(proxy);
    await Promise.all([once(client, 'connect'), server.accepted()]);
    return client;
  };
  return { server, proxy, dial };
}

function knock(proxy: FaultyProxy): Socket {
  const client = connect(proxy.port, '127.0.0.1');
  client.on('error', () => {}); // endOf() reports it
  onTestFinished(() => void client.destroy());
  return client;
}

async function startEchoServer(): Promise<EchoServer> {
  const connections = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    connections.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => connections.delete(socket));
    socket.pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    connections,
    accepted: () => once(server, 'connection'),
    killAll() {
      for (const socket of connections) socket.resetAndDestroy();
    },
  };
}

async function echo(client: Socket, text: string): Promise<string> {
  client.write(text);
  return String((await once(client, 'data'))[0]);
}

async function everything(client: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of client) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

/** How a connection ended: the code of its error, or `closed`. */
async function endOf(client: Socket): Promise<string> {
  return new Promise((resolve) => {
    client.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    client.once('close', () => resolve('closed'));
    client.resume();
  });
}

/** Whether a connection stays open and delivers nothing, long enough for data to arrive. */
async function isQuiet(socket: Socket): Promise<boolean> {
  const heard = new AbortController();
  const news = ['data', 'end', 'close'].map((event) => once(socket, event, { signal: heard.signal }));
  const silence = once(AbortSignal.timeout(QUIET_MS), 'abort');
  const isQuietStill = await Promise.race([
    silence.then(() => true),
    ...news.map((one) => one.then(() => false)),
  ]);
  for (const one of news) void one.catch(() => {}); // the test aborts them next
  heard.abort();
  return isQuietStill;
}
