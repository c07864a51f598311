// No program on the port of an inspector can block the caller.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { captureProcess } from '../../../src/diagnostics/profile/capture-process.ts';
import { inspectorUrl } from '../../../src/diagnostics/profile/remote-inspector.ts';

let server: Server;
let port: number;
beforeEach(async () => {
  server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ({ port } = server.address() as AddressInfo);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
  server.closeAllConnections();
  server.close();
});

test('a port whose reply stops in the middle has no inspector', async () => {
  const begun = new Promise<void>((resolve) =>
    server.on('request', (_request, response) => response.writeHead(200).write('[', () => resolve())),
  );
  const url = inspectorUrl(port);
  await begun;
  vi.advanceTimersByTime(1_000);
  expect(await url).toBeUndefined();
});

test('a process that does not answer its inspector is given up after 5 s', async () => {
  server.on('request', (_request, response) =>
    response.end(JSON.stringify([{ webSocketDebuggerUrl: `ws://127.0.0.1:${port}/x` }])),
  );
  const asked = new Promise<void>((resolve) =>
    server.on('upgrade', (_request, socket) => {
      socket.on('error', () => {});
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
      socket.once('data', () => resolve());
    }),
  );
  const captured = captureProcess({ pid: process.pid, port, seconds: 1 }).catch((error: unknown) => error);
  await asked;
  vi.advanceTimersByTime(5_000);
  expect(await captured).toMatchObject({ code: 'DIAGNOSTICS_NO_ANSWER' });
});

test('a program that answers the inspector protocol with other text is given up', async () => {
  server.on('request', (_request, response) =>
    response.end(JSON.stringify([{ webSocketDebuggerUrl: `ws://127.0.0.1:${port}/x` }])),
  );
  server.on('upgrade', (_request, socket) => {
    socket.on('error', () => {});
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
    const text = Buffer.from('hello');
    socket.once('data', () => socket.write(Buffer.concat([Buffer.of(0x81, text.length), text])));
  });
  await expect(captureProcess({ pid: process.pid, port, seconds: 1 })).rejects.toThrow(
    'the process closed its inspector, or ended',
  );
});
