/**
 * What honest services do to their event loop: work that resembles a runaway from outside. Each lasts `forMs`.
 * The watchdog's tests run them in `runaway-child.mjs`.
 */
import { execFileSync, spawn } from 'node:child_process';
import { createHash, pbkdf2Sync } from 'node:crypto';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { setImmediate as turn, setTimeout as after } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const LOAD = fileURLToPath(new URL('./load-child.mjs', import.meta.url));
const MODULES = fileURLToPath(new URL('../../node_modules', import.meta.url));

export function honestWorkloads(forMs) {
  let end = Infinity;
  const isOn = () => Date.now() < end;

  function work(ms) {
    let sum = 0;
    for (const until = Date.now() + ms; Date.now() < until;)
      for (let i = 0; i < 500; i++) sum += Math.sqrt(i);
    return sum;
  }

  async function consume(socket) {
    for await (const line of createInterface(socket)) {
      await Promise.resolve();
      createHash('sha1').update(JSON.parse(line).text).digest('hex');
    }
  }

  /** Runs a job again and again, with a turn of the event loop in between. */
  const again = (job) => async () => {
    while (isOn()) {
      job();
      await turn();
    }
  };

  /** Serves while another process sends as many requests as it can. */
  const loaded = (kind, server) => async () => {
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const load = spawn(process.execPath, [LOAD, kind, String(server.address().port), String(forMs)], {
      stdio: 'ignore',
    });
    await new Promise((resolve) => load.once('exit', resolve));
    server.close();
  };

  const sorted = (count) => Float64Array.from({ length: count }, Math.random).sort((a, b) => a - b);
  let count = 10_000;
  /** Sorts as many numbers as take about half a second on this machine. */
  const sortNumbers = () => {
    const begunAt = performance.now();
    sorted(count);
    const tookMs = performance.now() - begunAt;
    count = Math.ceil(count * Math.min(10, 500 / tookMs));
  };

  const json = JSON.stringify(
    Array.from({ length: 60_000 }, (_, id) => ({ id, name: `user ${id}`, tags: ['a', 'b'] })),
  );
  const megabyte = Buffer.from(json).subarray(0, 1 << 20);

  const workloads = {
    'parses large JSON': again(() => JSON.parse(json)),
    'compresses synchronously': again(() => gzipSync(megabyte)),
    'hashes passwords synchronously': again(() => pbkdf2Sync('password', 'salt', 100_000, 32, 'sha256')),
    'sorts numbers for half a second': again(() => sortNumbers()),
    'builds long strings': again(() => Array.from({ length: 100_000 }, (_, i) => `<li>${i}</li>`).join('')),
    'matches patterns in large texts': again(() => json.match(/"name":"user \d+7"/g)),
    'fills memory and frees it': again(() =>
      Array.from({ length: 300_000 }, (_, i) => ({ i, text: `#${i}` })),
    ),
    'imports large modules': again(() => {
      const require = createRequire(import.meta.url);
      for (const path of Object.keys(require.cache)) delete require.cache[path];
      for (const name of ['zod', 'express', 'rxjs', 'etcd3']) require(name);
    }),
    'reads files synchronously': again(() => {
      for (const name of readdirSync(MODULES).slice(0, 100)) statSync(`${MODULES}/${name}`);
      readFileSync(`${MODULES}/zod/package.json`);
    }),
    'runs other programs synchronously': again(() => execFileSync('sleep', ['0.4'])),
    'gives way each 20 ms of a batch': again(() => work(20)),
    'gives way each millisecond of a batch': again(() => work(1)),
    async 'is busy for 95 % of the time'() {
      const busy = setInterval(() => work(95), 100);
      await after(forMs);
      clearInterval(busy);
    },
    async 'runs a burst every two seconds'() {
      while (isOn()) {
        work(800);
        await after(1_200);
      }
    },
    async 'blocks for 3 s once'() {
      work(3_000);
      await after(forMs - 3_000);
    },
    async 'walks a tree of files'() {
      while (isOn())
        for (const name of (await readdir(MODULES)).slice(0, 200))
          await readFile(`${MODULES}/${name}/package.json`).catch(() => undefined);
    },
    async 'awaits a thousand promises at a time'() {
      while (isOn()) {
        await Promise.all(
          Array.from({ length: 1_000 }, async (_, i) => createHash('sha1').update(`${i}`).digest()),
        );
        await turn();
      }
    },
    'serves HTTP at full load': loaded(
      'http',
      createHttpServer((_request, response) => response.end('hello')),
    ),
    'renders pages at full load': loaded(
      'http',
      createHttpServer((_request, response) =>
        response.end(Array.from({ length: 20_000 }, (_, i) => `<li>${i}</li>`).join('')),
      ),
    ),
    'echoes over TCP at full load': loaded(
      'echo',
      createServer((socket) => socket.on('error', () => {}).pipe(socket)),
    ),
    'consumes a queue at full rate': loaded(
      'queue',
      createServer((socket) => {
        socket.on('error', () => {});
        createInterface(socket).on('line', (line) =>
          createHash('sha1').update(JSON.parse(line).text).digest('hex'),
        );
      }),
    ),
    'consumes a queue message by message': loaded(
      'queue',
      createServer((socket) => void consume(socket.on('error', () => {}))),
    ),
  };
  return Object.fromEntries(
    Object.entries(workloads).map(([name, run]) => [
      name,
      () => {
        end = Date.now() + forMs;
        return run();
      },
    ]),
  );
}
