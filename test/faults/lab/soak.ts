/**
 * Random faults for any duration: `npm run soak -- --minutes 60 --seed 1`. A run is a sequence of rounds. Each
 * round has its own candidates and its own seed, ends with all faults removed, and is checked. `--seed <that
 * seed> --rounds 1` repeats a finding. Up to a few faults happen at once. The summary goes to
 * bench/reliability/.
 */
import { rmSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { arch, cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { startEtcd, type EtcdSeries } from 'etcd-election/dev';
import { hangUp } from './act.ts';
import { outOfTurn, overlaps } from './checker.ts';
import { commitAtHand } from './commit.ts';
import type { Finding } from './evidence.ts';
import { faketime } from './faketime.ts';
import type { EtcdErrorKind } from './fault-kind.ts';
import { etcdAnswers } from './etcd-answers.ts';
import { drawFault, faultKinds } from './faults.ts';
import { HANGING_DISK, whyNoDiskHangs } from './hanging-disk.ts';
import { etcdBinary } from './etcd-binary.ts';
import { Lab } from './lab.ts';
import type { Outcome } from './outcome.ts';
import { seeded, type Seeded } from './seeded.ts';

const { values: options } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    rounds: { type: 'string' },
    candidates: { type: 'string', default: '5' },
    ttl: { type: 'string', default: '2' },
    kind: { type: 'string', default: 'ours' },
    only: { type: 'string' },
    /** The rounds with candidates that log in, with tokens that expire: `some`, `all` or `none`. */
    auth: { type: 'string', default: 'some' },
    out: { type: 'string' },
    /** Minor version of etcd. Default: the etcd in LAB_ETCD, else 3.5 if available, else any. */
    etcd: { type: 'string' },
    /** The largest number of concurrent faults. */
    'at-once': { type: 'string', default: '3' },
    /** The longest pause between bursts, in TTLs. */
    peace: { type: 'string', default: '0.3' },
  },
});

const SECONDS_PER_ROUND = 90;
/** Short, so that tokens expire often: between two uses, or while their user is disconnected. */
const TOKEN_TTL_S = 1;
/** Keeps the cost of a login for this machine low. */
const AUTH_FLAGS = [`--auth-token-ttl=${TOKEN_TTL_S}`, '--bcrypt-cost=4'];
const MiB = 1024 * 1024;

interface Totals {
  rounds: number;
  faults: number;
  terms: number;
  stamps: number;
  acknowledged: number;
  refused: number;
  unknown: number;
  refusedByResource: number;
  findings: (Finding & { seed: number })[];
  byKind: Record<string, { faults: number; longestLeaderlessMs: number }>;
  endings: Record<string, number>;
  errors: Record<string, number>;
  overlapMs: number;
  /**
   * Two leaders at once after the key of the first was taken: how often, how often by etcd itself, and the
   * longest. Also how often a term acted after one with a larger token, because several keys were taken at once.
   */
  evictions: { overlaps: number; byEtcd: number; longestMs: number; outOfTurn: number };
  /**
   * Two leaders at once after a cut of etcd's history, so that etcd forgot the first lease: within the rest of
   * that lease.
   */
  forgotten: { overlaps: number; longestMs: number };
  roundsWithAuth: number;
  longestLeaderlessMs: number;
  unfinishedRounds: number;
  /** Faults that could not be caused or removed. They count as faults too. */
  failedFaults: number;
}

const totals: Totals = {
  rounds: 0,
  faults: 0,
  terms: 0,
  stamps: 0,
  acknowledged: 0,
  refused: 0,
  unknown: 0,
  refusedByResource: 0,
  findings: [],
  byKind: {},
  endings: {},
  errors: {},
  overlapMs: 0,
  evictions: { overlaps: 0, byEtcd: 0, longestMs: 0, outOfTurn: 0 },
  forgotten: { overlaps: 0, longestMs: 0 },
  roundsWithAuth: 0,
  longestLeaderlessMs: 0,
  unfinishedRounds: 0,
  failedFaults: 0,
};

async function round(seed: number): Promise<void> {
  const random = seeded(seed);
  const folder = await mkdtemp(join(tmpdir(), 'etcd-election-soak-'));
  const clockFile = join(folder, 'clock');
  const fakeEnv = await faketime(clockFile);
  const whyNot = await whyNoDiskHangs();
  if (whyNot !== undefined) console.log(`seed ${seed}: no hanging disks: ${whyNot}`);
  const disks: readonly string[] = Object.values(HANGING_DISK);
  const auth =
    options.kind !== 'etcd3' && (options.auth === 'all' || (options.auth === 'some' && seed % 3 === 0));
  const kinds = faultKinds.filter(
    ({ kind, needsAuth = auth }) =>
      needsAuth === auth &&
      (kind !== 'wall-clock' || fakeEnv !== undefined) &&
      (!disks.includes(kind) || whyNot === undefined) &&
      (options.only === undefined || options.only.split(',').includes(kind)),
  );
  await using cluster = await startEtcd({
    members: 3,
    binary: await etcdBinary(options.etcd as EtcdSeries | undefined),
    extraArgs: [`--quota-backend-bytes=${24 * MiB}`, ...(auth ? AUTH_FLAGS : [])],
    peerNetwork: true,
  });
  etcdVersion = cluster.version;
  await using lab = await Lab.start({
    cluster,
    candidates: Number(options.candidates),
    ttlSeconds: Number(options.ttl),
    kind: options.kind === 'etcd3' ? 'etcd3' : 'ours',
    auth,
    env: fakeEnv ?? {},
  });
  const untilMs = performance.now() + SECONDS_PER_ROUND * 1000;
  while (performance.now() < untilMs) {
    await burst(lab, random, kinds, fakeEnv === undefined ? undefined : clockFile);
    await etcdAnswers(lab);
    // A leader, or the reason for its absence: the checker judges how long it took.
    await lab
      .leader({ withinMs: 20_000 })
      .catch((error: Error) => console.error(`seed ${seed}: ${error.message}`));
    await hangUp(50 + random.next() * lab.ttlMs * Number(options.peace));
  }
  const verdict = await lab.verdict();
  if (verdict.findings.length > 0) await keepLogs(lab, seed);
  add(verdict, seed);
  if (auth) totals.roundsWithAuth++;
  rmSync(folder, { recursive: true, force: true });
}

/** The lab deletes its log files, and a finding needs them. */
async function keepLogs(lab: Lab, seed: number): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), `etcd-election-finding-${seed}-`));
  for (const { name, logFile } of lab.candidates) await copyFile(logFile, join(folder, `${name}.log`));
  console.log(`seed ${seed}: logs kept in ${folder}`);
}

/** One or a few faults that start shortly after one another, at most one per candidate and one in etcd. */
async function burst(
  lab: Lab,
  random: Seeded,
  kinds: readonly EtcdErrorKind[],
  clockFile: string | undefined,
): Promise<void> {
  const free = new Set(lab.candidates);
  let etcdIsFree = true;
  const running: Promise<void>[] = [];
  for (let count = Math.min(random.pick([1, 1, 2, 2, 3]), Number(options['at-once'])); count > 0; count--) {
    const fault = drawFault(
      random,
      kinds.filter(({ place }) => place === 'candidate' || etcdIsFree),
    );
    if (fault.place === 'etcd') etcdIsFree = false;
    const acting = [...free].find((candidate) => candidate.isActing);
    const victim = acting !== undefined && random.next() < 0.7 ? acting : random.pick([...free]);
    free.delete(victim);
    running.push(
      fault.run({ lab, random, victim, clockFile }).catch((error: unknown) => {
        totals.failedFaults++;
        console.error(`fault ${fault.kind} could not be caused or removed: ${String(error)}`);
      }),
    );
    await hangUp(random.between(0, 300));
  }
  await Promise.all(running);
}

function add(outcome: Outcome, seed: number): void {
  totals.rounds++;
  totals.faults += outcome.faults.length;
  totals.terms += outcome.terms;
  totals.stamps += outcome.stamps;
  totals.acknowledged += outcome.appends.acknowledged;
  totals.refused += outcome.appends.refused;
  totals.unknown += outcome.appends.unknown;
  totals.refusedByResource += outcome.refusedByResource;
  for (const { kind } of outcome.faults)
    (totals.byKind[kind] ??= { faults: 0, longestLeaderlessMs: 0 }).faults++;
  for (const gap of outcome.gaps) {
    const ms = Math.round(gap.ms);
    totals.longestLeaderlessMs = Math.max(totals.longestLeaderlessMs, ms);
    // Counted by kind only if a single fault is the cause.
    const kinds = new Set(gap.faults.map(({ kind }) => kind));
    if (gap.faults.length > 1) continue;
    const kind = [...kinds][0] ?? 'none';
    const entry = (totals.byKind[kind] ??= { faults: 0, longestLeaderlessMs: 0 });
    entry.longestLeaderlessMs = Math.max(entry.longestLeaderlessMs, ms);
  }
  for (const [reason, times] of outcome.endings)
    totals.endings[reason] = (totals.endings[reason] ?? 0) + times;
  for (const [code, times] of outcome.errors) totals.errors[code] = (totals.errors[code] ?? 0) + times;
  for (const finding of outcome.findings) {
    totals.findings.push({ ...finding, seed });
    if (finding.promise === 'S2') totals.overlapMs += finding.ms ?? 0;
  }
  for (const { promise, what, ms = 0, byEtcd, isForgotten } of overlaps(outcome.evidence)) {
    if (promise !== 'S4') continue;
    if (isForgotten === true) {
      console.log(`  forgotten by etcd: ${what}`);
      totals.forgotten.overlaps++;
      totals.forgotten.longestMs = Math.max(totals.forgotten.longestMs, ms);
      continue;
    }
    console.log(`  key deleted by ${byEtcd === true ? 'etcd' : 'an operator'}: ${what}`);
    totals.evictions.overlaps++;
    if (byEtcd === true) totals.evictions.byEtcd++;
    totals.evictions.longestMs = Math.max(totals.evictions.longestMs, ms);
  }
  totals.evictions.outOfTurn += outOfTurn(outcome.evidence).length;
  const longest = Math.max(0, ...outcome.gaps.map(({ ms }) => ms));
  console.log(
    `seed ${seed}: ${outcome.faults.length} faults, ${outcome.terms} terms, ` +
      `${outcome.appends.acknowledged} appends acknowledged, longest without a leader ${Math.round(longest)} ms, ` +
      `${outcome.findings.length} findings`,
  );
  for (const { promise, what } of outcome.findings) console.log(`  ${promise}: ${what}`);
  if (outcome.findings.length > 0)
    for (const fault of outcome.faults)
      console.log(`    ${fault.fromMs.toFixed(0)} to ${fault.toMs.toFixed(0)}: ${fault.what}`);
}

let etcdVersion = '';
const firstSeed = Number(options.seed);
const endMs = performance.now() + Number(options.minutes) * 60_000;
const rounds = options.rounds === undefined ? Number.POSITIVE_INFINITY : Number(options.rounds);
const startedAt = new Date().toISOString();
const commit = commitAtHand();
for (let turn = 0; turn < rounds && performance.now() < endMs; turn++) {
  const seed = firstSeed + turn;
  try {
    await round(seed);
  } catch (error) {
    totals.unfinishedRounds++;
    console.error(`seed ${seed}: the round did not finish: ${String(error)}`);
  }
  await report();
}
const failed = options.kind === 'ours' && (totals.findings.length > 0 || totals.unfinishedRounds > 0);
console.log(
  `${totals.rounds} rounds, ${totals.faults} faults, ${totals.terms} terms, ${totals.findings.length} findings, ` +
    `${totals.unfinishedRounds} rounds unfinished, ${totals.failedFaults} faults failed`,
);
process.exit(failed ? 1 : 0);

async function report(): Promise<void> {
  const out = options.out ?? join('bench', 'reliability', `soak-${options.kind}-${firstSeed}.json`);
  await mkdir(dirname(out), { recursive: true });
  const machine = { cpus: cpus().length, arch: arch(), node: process.version, etcd: etcdVersion };
  const settings = {
    seed: firstSeed,
    candidates: Number(options.candidates),
    ttlSeconds: Number(options.ttl),
  };
  await writeFile(
    out,
    `${JSON.stringify({ startedAt, commit, kind: options.kind, machine, settings, ...totals }, undefined, 2)}\n`,
  );
}
