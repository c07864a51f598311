import { createServer, get } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2';
import { connect, type AddressInfo, type Server } from 'node:net';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, onTestFinished, test, vi } from 'vitest';
import { diagnosticsHandler, serveDiagnostics, startWatchdog } from '../../../src/diagnostics/index.ts';

const reply = (url: string): Promise<string> =>
  fetch(url).then(
    (response) => response.text(),
    () => 'refused',
  );

test('two servers on one watchdog each have their own port and metrics', async () => {
  await using watchdog = startWatchdog({ log: false });
  await watchdog.ready();
  await using one = await serveDiagnostics({ port: 0, metrics: () => 'one 1\n' });
  await using two = await serveDiagnostics({ port: 0, metrics: () => 'two 1\n' });
  await expect(serveDiagnostics({ port: one.port, metrics: () => 'three 1\n' })).rejects.toMatchObject({
    code: 'DIAGNOSTICS_UNAVAILABLE',
  });
  expect(await reply(`${one.url}/metrics`)).toMatch(/^one 1/);
  expect(await reply(`${two.url}/metrics`)).toMatch(/^two 1/);
  await one.close();
  await one.close();
  expect(await reply(`${one.url}/healthz`)).toBe('refused');
  expect(await reply(`${two.url}/metrics`)).toMatch(/^two 1/);
  await two.close();
  expect(await reply(`${two.url}/healthz`)).toBe('refused');
});

test('servers without a watchdog share a new one, and the last server closes it', async () => {
  const open = (port = 0) => serveDiagnostics({ port });
  const [one, two] = await Promise.all([open(), open()]);
  const [taken, three] = await Promise.allSettled([open(one.port), open()]);
  expect(taken).toMatchObject({ reason: { code: 'DIAGNOSTICS_UNAVAILABLE' } });
  await one.close();
  await one.close();
  expect(await reply(`${one.url}/healthz`)).toBe('refused');
  expect(await reply(`${two.url}/healthz`)).toMatch(/^ok/);
  await two.close();
  if (three.status === 'rejected') throw three.reason;
  expect(await reply(`${three.value.url}/healthz`)).toMatch(/^ok/);
  await three.value.close();
  await startWatchdog({ log: false }).close(); // none runs any more
});

test('the process stays alive until both of two servers are open', async () => {
  const order: string[] = [];
  const note = (name: 'ref' | 'unref'): void =>
    void vi.spyOn(Worker.prototype, name).mockImplementation(() => void order.push(name));
  note('ref');
  note('unref');
  onTestFinished(() => void vi.restoreAllMocks());
  const opening = [1, 2].map(() => serveDiagnostics({ port: 0 }));
  const served = await Promise.all(opening);
  expect(order).toEqual(['unref', 'ref', 'unref']); // the first one is that of the start
  for (const each of served) await each.close();
});

test('a server that fails does not close the watchdog of the next server', async () => {
  await using other = await serveDiagnostics({ port: 0 });
  await other.close();
  const opening = [
    serveDiagnostics({ port: 0, host: '192.0.2.1', token: 't'.repeat(16) }),
    serveDiagnostics({ port: 0 }),
  ];
  const [failed, served] = await Promise.allSettled(opening);
  expect(failed).toMatchObject({ reason: { code: 'DIAGNOSTICS_UNAVAILABLE' } });
  if (served?.status !== 'fulfilled') throw served?.reason;
  expect(await reply(`${served.value.url}/healthz`)).toMatch(/^ok/);
  await served.value.close();
});

async function portOf(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

test('a health check over HTTP/1.0 needs no host, as HAProxy sends it', async () => {
  await using served = await serveDiagnostics({ port: 0, watchdog: { log: false } });
  const socket = connect(served.port, '127.0.0.1').setEncoding('utf8');
  socket.write('GET /healthz HTTP/1.0\r\n\r\n');
  let said = '';
  for await (const text of socket as AsyncIterable<string>) said += text;
  expect(said).toMatch(/^HTTP\/1\.1 200 /);
});

test('the handler works in a server of HTTP/2', async () => {
  const port = await portOf(createHttp2Server(diagnosticsHandler() as never));
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  const [headers] = (await once(session.request({ ':path': '/healthz' }).resume(), 'response')) as [object];
  session.destroy();
  expect(headers).toMatchObject({ ':status': 200 });
});

test('behind a reverse proxy with a path, redirects stay below that path', async () => {
  await using served = await serveDiagnostics({ port: 0, watchdog: { log: false } });
  const proxy = createServer(({ url = '' }, response) => {
    get({ port: served.port, path: url.replace('/ops', ''), agent: false }, (reply) => {
      response.writeHead(reply.statusCode ?? 0, reply.headers);
      reply.pipe(response);
    });
  });
  const address = `http://127.0.0.1:${await portOf(proxy)}`;
  onTestFinished(() => proxy.closeAllConnections());
  for (const path of ['/ops/', '/ops/debug/pprof']) {
    const { status, url } = await fetch(address + path);
    expect({ status, url }).toEqual({ status: 200, url: `${address}/ops/debug/pprof/` });
  }
});
