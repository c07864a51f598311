// etcd3 sends a transaction again if its answer is lost. The first one had deleted the key, so the second one did not find
// it, and `evict` said "already over".
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { startProxy, type FaultyProxy } from 'etcd-election/dev';
import { describe, expect } from 'vitest';
import { evict } from '../../src/cli/evict.ts';
import type { Terminal } from '../../src/cli/terminal.ts';
import { eventually } from '../support/eventually.ts';
import { SOON_MS, test } from '../support/world.ts';

const TIMEOUT_MS = 1_000;

/** Starts `evict` at a terminal of its own, and loses etcd's answers from the question on. */
async function evictAt(links: readonly FaultyProxy[], prefix: string) {
  const stdin = Object.assign(new PassThrough(), { isTTY: true });
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const args = ['e', '--prefix', prefix, '--command-timeout', `${TIMEOUT_MS}ms`];
  const env = { ETCDCTL_ENDPOINTS: links.map(({ endpoint }) => endpoint).join() };
  let asked = '';
  stderr.on('data', (chunk: Buffer) => (asked += chunk.toString()));
  const code = evict(args, { env, stdin, stdout, stderr } as unknown as Terminal);
  code.catch(() => undefined); // awaited below
  await eventually(() => expect(asked).toContain('[y/N]'), { withinMs: SOON_MS });
  for (const link of links) link.loseReplies();
  stdin.write('y\r');
  const said = async (): Promise<string> => {
    stdout.end();
    return await text(stdout);
  };
  return { code, said };
}

describe.for([1, 2])('evict through %i endpoints loses the answer of its transaction', (count) => {
  test('the key is gone: evict says so, and succeeds', async ({ etcd, prefix, candidate }) => {
    const term = await candidate('alice').campaign();
    const target = etcd.endpoints[0]!;
    await using first = await startProxy({ target });
    await using second = await startProxy({ target });
    const links = [first, second].slice(0, count);
    const { code, said } = await evictAt(links, prefix);
    await eventually(() => !term.isCurrent(), { withinMs: SOON_MS });
    await eventually(() => links.some(({ bytesLost }) => bytesLost > 0), { withinMs: SOON_MS });
    await Promise.all(links.map((link) => link.restore()));

    expect(await code).toBe(0);
    expect(await said()).toBe(
      `e: the term of alice (token ${term.fencingToken}) is over. etcd's first answer was lost, so it is not known whether evict or something else ended it\n`,
    );
  });

  test('etcd stays silent: the error says that the outcome is unknown', async ({
    etcd,
    prefix,
    candidate,
  }) => {
    const term = await candidate('alice').campaign();
    const target = etcd.endpoints[0]!;
    await using first = await startProxy({ target });
    await using second = await startProxy({ target });
    const links = [first, second].slice(0, count);
    const { code } = await evictAt(links, prefix);
    await expect(code).rejects.toThrow(
      `. The term of alice (token ${term.fencingToken}) may have ended nevertheless. To check, run etcd-election status e`,
    );
  });
});
