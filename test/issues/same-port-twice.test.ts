import { execFile } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { startProxy } from 'etcd-election/dev';
import { afterEach, expect, test, vi } from 'vitest';
import { reservePort } from '../../src/dev/ports.ts';
import { compile } from '../support/programs.ts';

// Two members of one cluster got the same port in about one of a hundred starts. etcd then said "has duplicate url".
// Later a proxy was cut for a second. In this second another process took its port, and `restore()` failed.

afterEach(() => {
  vi.restoreAllMocks();
});

/** Makes every search begin with the same port. */
const drawAlways = (drawn: number): void => void vi.spyOn(Math, 'random').mockReturnValue(drawn);

/** The number from which `search` made its port, so that another search can find the same port. */
async function drawnBy<T>(search: () => Promise<T>): Promise<{ found: T; drawn: number }> {
  const random = Math.random;
  let drawn = 0;
  vi.spyOn(Math, 'random').mockImplementation(() => (drawn = random()));
  const found = await search();
  vi.restoreAllMocks();
  return { found, drawn };
}

async function searchInAnotherProcess(drawn: number): Promise<string> {
  const [ports = ''] = await compile(['src/dev/ports.ts']);
  const program = `Math.random = () => ${drawn};
    const { reservePort } = await import(${JSON.stringify(pathToFileURL(ports).href)});
    console.log(await reservePort().then(({ port }) => port, (error) => error.message));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program]);
  return stdout.trim();
}

test('no port is given twice, although nobody listens on it yet', async () => {
  const { found: first, drawn } = await drawnBy(reservePort);
  using _first = first;
  drawAlways(drawn);
  await expect(reservePort()).rejects.toThrow('no free port');

  first.release();
  using second = await reservePort();
  expect(second.port).toBe(first.port);
});

test('two searches at once find two ports', async () => {
  const { drawn } = await drawnBy(async () => (await reservePort()).release());
  drawAlways(drawn);
  const results = await Promise.allSettled([reservePort(), reservePort()]);
  for (const result of results) if (result.status === 'fulfilled') result.value.release();
  expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
});

test('no other process gets the port of a proxy that is cut, until the proxy is closed', async () => {
  const { found: proxy, drawn } = await drawnBy(() => startProxy({ target: '127.0.0.1:2379' }));
  proxy.cut();
  expect(await searchInAnotherProcess(drawn)).toContain('no free port');

  await proxy.restore();
  await proxy.close();
  expect(await searchInAnotherProcess(drawn)).toBe(String(proxy.port));
});
