/**
 * The lock workload of Jepsen's report on etcd 3.4.3: five processes, a TTL of 2 s, a pause every 5 s. The
 * leader reads a list, waits a moment, and writes it back with one more element. An acknowledged element that is
 * missing at the end was lost. With a fence none may be lost. Without one, the count shows what leadership alone
 * is worth.
 * LAB=jepsen npm run soak -- --seconds 80 --seed 1
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { startEtcd } from 'etcd-election/dev';
import { hangUp } from './act.ts';
import { commitAtHand } from './commit.ts';
import { etcdBinary } from './etcd-binary.ts';
import { Lab } from './lab.ts';
import { seeded } from './seeded.ts';

const { values: options } = parseArgs({
  options: { seconds: { type: 'string', default: '120' }, seed: { type: 'string', default: '1' } },
});

const PAUSE_EVERY_MS = 5_000;
const TTL_S = 2;

const WAYS = {
  'etcd3, unfenced': { kind: 'etcd3', fenced: false, checked: true },
  'ours, unfenced and unchecked': { kind: 'ours', fenced: false, checked: false },
  'ours, unfenced': { kind: 'ours', fenced: false, checked: true },
  // Here only the fence protects: it alone refuses the late writes.
  'ours, fenced and unchecked': { kind: 'ours', fenced: true, checked: false },
  'ours, fenced': { kind: 'ours', fenced: true, checked: true },
} as const;
type Way = keyof typeof WAYS;

async function run(way: Way): Promise<object> {
  const random = seeded(Number(options.seed));
  await using cluster = await startEtcd({ members: 3, binary: await etcdBinary() });
  const { kind, fenced, checked } = WAYS[way];
  await using lab = await Lab.start({
    cluster,
    candidates: 5,
    ttlSeconds: TTL_S,
    kind,
    list: { fenced, checked },
  });
  const untilMs = performance.now() + Number(options.seconds) * 1000;
  let pauses = 0;
  while (performance.now() < untilMs) {
    // Pauses the leader and a member of etcd alternately, as an outside cause would.
    const victim = lab.candidates.find(({ isActing }) => isActing);
    const isMember = ++pauses % 2 === 0 || victim === undefined;
    const member = random.pick(cluster.members);
    if (isMember) member.freeze();
    else victim.freeze();
    await hangUp(PAUSE_EVERY_MS / 2 + random.next() * 1_000);
    if (isMember) member.thaw();
    else victim.thaw();
    await hangUp(PAUSE_EVERY_MS / 2 - 500);
  }
  await hangUp(2 * lab.ttlMs);
  const { findings, appends, errors, evidence } = await lab.verdict();
  const stands = new Set(lab.resource.list);
  const acknowledged = evidence.appends.filter(
    ({ to, outcome }) => to === 'list' && outcome === 'acknowledged',
  );
  const lost = acknowledged.filter(
    ({ process, token, counter }) => !stands.has(`${process}/${token}/${counter}`),
  );
  const overlaps = findings.filter(({ promise }) => promise === 'S2');
  return {
    way,
    pauses,
    acknowledged: acknowledged.length,
    lost: lost.length,
    lostPercent: Math.round((1000 * lost.length) / Math.max(1, acknowledged.length)) / 10,
    refusedByCheck: errors.get('NOT_CURRENT') ?? 0,
    refusedByFence: lab.resource.refused,
    appends,
    overlaps: overlaps.length,
    overlapMs: Math.round(overlaps.reduce((sum, { ms = 0 }) => sum + ms, 0)),
  };
}

const commit = commitAtHand();
const results: object[] = [];
for (const way of Object.keys(WAYS) as Way[]) {
  results.push(await run(way));
  console.log(JSON.stringify(results.at(-1)));
}
const out = join('bench', 'reliability', 'jepsen-lock.json');
await mkdir(dirname(out), { recursive: true });
const settings = {
  commit,
  seconds: Number(options.seconds),
  seed: Number(options.seed),
  ttlSeconds: TTL_S,
  processes: 5,
};
await writeFile(out, `${JSON.stringify({ settings, results }, undefined, 2)}\n`);
process.exit(0);
