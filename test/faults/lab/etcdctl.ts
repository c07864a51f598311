/**
 * Cuts `etcdctl elect` off from etcd, and measures how long the old and the next leader overlap. It writes no
 * stamps: it leads from its output line until it exits. Its session lives for 60 s, and no flag changes that.
 * LAB=etcdctl npm run soak
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { etcdctlPath, startEtcd, startProxy } from 'etcd-election/dev';
import { nowMs } from './history.ts';
import { etcdBinary } from './etcd-binary.ts';

const MOST_MS = 200_000;

await using etcd = await startEtcd({ binary: await etcdBinary() });
const target = etcd.endpoints[0]!;
const etcdctl = await etcdctlPath();

async function candidate(name: string) {
  const link = await startProxy({ target });
  const child = spawn(etcdctl, ['--endpoints', link.endpoint, 'elect', 'story', name], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, ETCDCTL_API: '3' },
  });
  const elected = once(child.stdout, 'data').then(() => nowMs());
  const over = once(child, 'exit').then(() => nowMs());
  return { link, child, elected, over };
}

const giveUp = setTimeout(() => process.exit(1), MOST_MS);
const alice = await candidate('alice');
await alice.elected;
const bob = await candidate('bob');
const stalledAtMs = nowMs();
alice.link.stall();
const [bobLedAtMs, aliceEndedAtMs] = await Promise.all([
  bob.elected,
  Promise.race([
    alice.over,
    new Promise<undefined>((resolve) => setTimeout(resolve, MOST_MS / 2, undefined)),
  ]),
]);
const result = {
  what: 'etcdctl elect, its connection stalled both ways',
  nextLedAfterMs: Math.round(bobLedAtMs - stalledAtMs),
  oldEndedAfterMs: aliceEndedAtMs === undefined ? null : Math.round(aliceEndedAtMs - stalledAtMs),
  overlapMs: aliceEndedAtMs === undefined ? null : Math.max(0, Math.round(aliceEndedAtMs - bobLedAtMs)),
};
console.log(JSON.stringify(result));
await mkdir(join('bench', 'reliability'), { recursive: true });
await writeFile(
  join('bench', 'reliability', 'etcdctl-elect.json'),
  `${JSON.stringify(result, undefined, 2)}\n`,
);
clearTimeout(giveUp);
for (const { child } of [alice, bob]) child.kill('SIGKILL');
await etcd.stop();
process.exit(0);
