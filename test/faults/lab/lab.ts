/**
 * A laboratory: candidates as processes, each with a network of its own to each member of a real etcd, and a
 * history of what they did.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  etcdPath,
  startEtcd,
  startProxy,
  type EtcdCluster,
  type EtcdSeries,
  type FaultyProxy,
} from 'etcd-election/dev';
import { hangUp } from './act.ts';
import { setUpAuth, ROOT, userOf, type Credentials } from './auth.ts';
import type { Mutant } from '../../support/mutant.ts';
import { buildCandidate } from './build.ts';
import type { CandidatePlan, News, Order } from './candidate.ts';
import { gaps, tooLong, unsafe, type Gap } from './checker.ts';
import type { Evidence, FaultRecord, Finding, HistoryCut, LogEntry, Standing } from './evidence.ts';
import { Operator } from './gateway.ts';
import { nowMs, readHistory } from './history.ts';
import { startResource, type Resource } from './resource.ts';

export interface LabPlan {
  readonly candidates?: number;
  readonly members?: 1 | 3;
  /** In seconds; at least 2, because etcd grants no less. */
  readonly ttlSeconds?: number;
  readonly kind?: CandidatePlan['kind'];
  readonly sabotage?: Mutant | undefined;
  readonly etcdArgs?: readonly string[];
  readonly stopsAfterMs?: number;
  /** Every so many of the appends to etcd learn their outcome (`exactlyOnce`); 0: none. Default: 3. */
  readonly onceEach?: number;
  /** What leaders do instead of appending; see jepsen.ts. */
  readonly list?: CandidatePlan['list'];
  /** Whether candidates log in, each as a user of its own that may do no more than it needs. */
  readonly auth?: boolean;
  /** More environment for candidates. */
  readonly env?: NodeJS.ProcessEnv;
  /** What tests that disturb nobody share. Default: an etcd of the lab's own. */
  readonly cluster?: EtcdCluster | undefined;
}

/** What the timers of a busy machine with two cores add, in milliseconds: to limits of liveness, never of safety. */
export const NOISE_MS = 1_500;

/** How many of its last lines a candidate's log shows where a test fails. */
const LOG_LINES = 20;

const MOST_APPENDS_A_LIFE = 1_000_000;

/** No condition of a lab is waited for longer than this, in milliseconds, unless a test says how long. */
const PATIENCE_MS = 60_000;

/**
 * etcd 3.5, where it can be had: before 3.4.31 and 3.5.13 an etcd leader that was frozen, and comes back, revokes
 * leases that its successor has renewed (etcd issue 15247), and nobody can keep S2. Otherwise what is at hand.
 */
export const etcdBinary = (series: EtcdSeries = '3.5'): Promise<string> =>
  etcdPath({ series }).catch(() => etcdPath());

export class Candidate {
  readonly name: string;
  readonly links: readonly FaultyProxy[];
  readonly historyFile: string;
  readonly logFile: string;
  readonly #plan: CandidatePlan;
  readonly #module: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #onNews: () => void;
  #lives = 0;
  #child: ChildProcess | undefined;
  isFrozen = false;
  /** The term at hand, by its own account. */
  term: { token: string; key: string; leaseId: string } | undefined;
  lastActedAtMs = Number.NEGATIVE_INFINITY;
  readonly endings: string[] = [];
  reported: Extract<News, { says: 'report' }> | undefined;
  hasLeft = false;

  constructor(
    plan: CandidatePlan,
    setting: { links: readonly FaultyProxy[]; module: string; env: NodeJS.ProcessEnv; onNews: () => void },
  ) {
    this.name = plan.name;
    this.links = setting.links;
    this.historyFile = plan.historyFile;
    this.logFile = plan.logFile;
    this.#plan = plan;
    this.#module = setting.module;
    this.#env = setting.env;
    this.#onNews = setting.onNews;
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Whether it acted in its present term within the last moments: being elected is not enough. */
  get isActing(): boolean {
    return this.term !== undefined && !this.isFrozen && nowMs() - this.lastActedAtMs < 400;
  }

  start(): void {
    if (this.#child !== undefined) return;
    const plan: CandidatePlan = { ...this.#plan, countsFrom: this.#lives++ * MOST_APPENDS_A_LIFE };
    const child = fork(this.#module, [], {
      env: { ...process.env, ...this.#env, LAB_CANDIDATE: JSON.stringify(plan) },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      execArgv: ['--enable-source-maps'],
    });
    this.#child = child;
    this.isFrozen = false;
    child.stderr
      ?.setEncoding('utf8')
      .on('data', (text: string) => process.stderr.write(`${this.name}: ${text}`));
    child.on('error', () => undefined);
    child.on('message', (news: News) => {
      if (this.#child !== child) return;
      this.#hear(news);
    });
    child.once('exit', () => {
      if (this.#child === child) this.#child = undefined;
      this.term = undefined;
      this.#onNews();
    });
  }

  #hear(news: News): void {
    switch (news.says) {
      case 'elected':
        this.term = news;
        this.lastActedAtMs = Number.NEGATIVE_INFINITY;
        break;
      case 'acting':
        if (this.term?.token === news.token) this.lastActedAtMs = nowMs();
        break;
      case 'ended':
        if (this.term?.token === news.token) this.term = undefined;
        this.endings.push(news.reason);
        break;
      case 'report':
        this.reported = news;
        break;
      case 'left':
        this.hasLeft = true;
        break;
    }
    this.#onNews();
  }

  tell(order: Order): void {
    this.#child?.send(order, () => undefined);
  }

  freeze(): void {
    this.isFrozen = true;
    this.#child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.isFrozen = false;
    this.#child?.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** Starts it anew, so that all it has hangs on one member of etcd; the way to the others stays cut. */
  async restartAt(link: FaultyProxy): Promise<void> {
    await this.kill();
    for (const other of this.links) if (other !== link) other.cut();
    this.start();
  }

  async restore(): Promise<void> {
    await Promise.all(this.links.map((link) => link.restore()));
    if (this.isFrozen) this.thaw();
    this.start();
  }
}

export type Marks = Pick<FaultRecord, 'kind' | 'what'> &
  Partial<Pick<FaultRecord, 'touchesEtcd' | 'isOutage' | 'evicts'>>;

/** What a run came to. */
export interface Outcome {
  readonly findings: readonly Finding[];
  readonly gaps: readonly Gap[];
  readonly terms: number;
  readonly stamps: number;
  readonly appends: { readonly acknowledged: number; readonly refused: number; readonly unknown: number };
  readonly refusedByResource: number;
  readonly errors: ReadonlyMap<string, number>;
  readonly endings: ReadonlyMap<string, number>;
  readonly faults: readonly FaultRecord[];
  readonly evidence: Evidence;
}

export class Lab implements AsyncDisposable {
  readonly cluster: EtcdCluster;
  readonly operator: Operator;
  readonly candidates: readonly Candidate[];
  readonly election: string;
  readonly ttlMs: number;
  readonly resource: Resource;
  readonly faults: FaultRecord[] = [];
  readonly kills: { process: string; atMs: number }[] = [];
  /** Whether candidates log in. */
  readonly hasAuth: boolean;
  readonly #cuts: HistoryCut[] = [];
  #foreign: Promise<EtcdCluster> | undefined;
  /** While history is cut: nobody may be let at etcd until that is over. */
  #cutting: Promise<void> | undefined;
  readonly #owns: (() => Promise<void>)[];
  readonly #logPrefix: string;
  readonly #hasTokens: boolean;
  readonly #waiting: Set<() => void>;
  #startedAtMs = nowMs();

  private constructor(parts: {
    cluster: EtcdCluster;
    candidates: readonly Candidate[];
    election: string;
    ttlMs: number;
    hasAuth: boolean;
    resource: Resource;
    owns: (() => Promise<void>)[];
    logPrefix: string;
    hasTokens: boolean;
    waiting: Set<() => void>;
  }) {
    this.cluster = parts.cluster;
    this.operator = new Operator(parts.cluster, parts.hasAuth ? ROOT : undefined);
    this.hasAuth = parts.hasAuth;
    this.candidates = parts.candidates;
    this.election = parts.election;
    this.ttlMs = parts.ttlMs;
    this.resource = parts.resource;
    this.#owns = parts.owns;
    this.#logPrefix = parts.logPrefix;
    this.#hasTokens = parts.hasTokens;
    this.#waiting = parts.waiting;
  }

  /** Starts etcd, the networks and the candidates; resolves when one of them leads and writes, and all others wait. */
  static async start(plan: LabPlan = {}): Promise<Lab> {
    const { candidates: count = 3, members = 3, ttlSeconds = 2, kind = 'ours', stopsAfterMs = 0 } = plan;
    const { onceEach = 3, auth = false } = plan;
    const owns: (() => Promise<void>)[] = [];
    const folder = await mkdtemp(join(tmpdir(), 'etcd-election-lab-'));
    owns.push(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
    const module = await buildCandidate(plan.sabotage);
    const cluster =
      plan.cluster ?? (await startEtcd({ members, binary: await etcdBinary(), extraArgs: plan.etcdArgs }));
    if (plan.cluster === undefined) owns.push(() => cluster.stop());
    const resource = await startResource();
    owns.push(async () => await resource[Symbol.asyncDispose]());
    const election = `lab-${Math.random().toString(36).slice(2, 10)}`;
    const names = Array.from({ length: count }, (_, index) => `c${index + 1}`);
    if (auth) await setUpAuth(cluster, names, [`election/${election}/`, `election/.writes/`, `${election}/`]);
    const waiting = new Set<() => void>();
    const onNews = (): void => {
      for (const look of waiting) look();
    };
    const logPrefix = `${election}/`;
    const candidates = await Promise.all(
      names.map(async (name) => {
        const links = await Promise.all(cluster.endpoints.map((target) => startProxy({ target })));
        owns.push(async () => void (await Promise.all(links.map((link) => link.close()))));
        const login: Credentials | undefined = auth ? userOf(name) : undefined;
        const candidatePlan: CandidatePlan = {
          name,
          kind,
          endpoints: links.map((link) => link.endpoint),
          election,
          ttlSeconds,
          historyFile: join(folder, `${name}.history`),
          logFile: join(folder, `${name}.log`),
          logPrefix,
          resource: kind === 'ours' && plan.list === undefined ? resource.url : undefined,
          listAt: resource.url,
          list: plan.list,
          stopsAfterMs,
          onceEach,
          auth: login,
        };
        return new Candidate(candidatePlan, { links, module, env: plan.env ?? {}, onNews });
      }),
    );
    const lab = new Lab({
      cluster,
      candidates,
      election,
      ttlMs: Math.max(2, ttlSeconds) * 1000,
      hasAuth: auth,
      resource,
      owns,
      logPrefix,
      hasTokens: kind === 'ours',
      waiting,
    });
    try {
      for (const candidate of candidates) candidate.start();
      await lab.leader();
      while ((await lab.operator.list(`election/${election}/`)).length < count) await hangUp(20);
      // A fault must not hit before there is anything to lose.
      while (plan.list === undefined && (await lab.operator.list(`${logPrefix}log/`)).length === 0)
        await hangUp(20);
      return lab;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Resolves with what `look` finds; asks again at every piece of news, and each 20 ms for what makes none. */
  until<T>(what: string, look: () => T | undefined | false, withinMs = PATIENCE_MS): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const end = (): void => {
        clearTimeout(limit);
        clearInterval(again);
        this.#waiting.delete(check);
      };
      const check = (): void => {
        const found = look();
        if (found === undefined || found === false) return;
        end();
        resolve(found);
      };
      const limit = setTimeout(() => {
        end();
        reject(new Error(`within ${withinMs} ms: ${what}\n${this.describe()}`));
      }, withinMs);
      const again = setInterval(check, 20);
      this.#waiting.add(check);
      check();
    });
  }

  /** Who is where, and what they logged last. */
  describe(): string {
    return this.candidates
      .map((one) => {
        const state = one.isFrozen ? 'frozen' : one.isRunning ? 'running' : 'down';
        const told = existsSync(one.logFile)
          ? readFileSync(one.logFile, 'utf8').trimEnd().split('\n').slice(-LOG_LINES)
          : [];
        return [`${one.name}: ${state}, term ${one.term?.token ?? '-'}`, ...told].join('\n    ');
      })
      .join('\n');
  }

  /** Whoever acts as leader, other than those who are left out. */
  leader(options: { notOf?: readonly Candidate[]; withinMs?: number } = {}): Promise<Candidate> {
    const { notOf = [], withinMs } = options;
    return this.until(
      'a leader that acts',
      () => this.candidates.find((one) => one.isActing && !notOf.includes(one)),
      withinMs,
    );
  }

  async kill(candidate: Candidate): Promise<void> {
    this.kills.push({ process: candidate.name, atMs: nowMs() });
    await candidate.kill();
    this.kills.push({ process: candidate.name, atMs: nowMs() });
  }

  /** Records a fault from now until `lift()`. */
  fault(fault: Marks): { lift(): void } {
    const record = {
      kind: fault.kind,
      what: fault.what,
      touchesEtcd: fault.touchesEtcd ?? false,
      isOutage: fault.isOutage ?? false,
      evicts: fault.evicts,
      fromMs: nowMs(),
      toMs: Number.POSITIVE_INFINITY,
    };
    this.faults.push(record);
    return {
      lift: () => {
        record.toMs = nowMs();
      },
    };
  }

  /** Lets a candidate at etcd again; not before a cut of history is over. */
  async reconnect({ links }: Pick<Candidate, 'links'>): Promise<void> {
    await this.#cutting?.catch(() => undefined); // whoever cut it is told
    await Promise.all(links.map((link) => link.restore()));
  }

  /** Another etcd, which has nothing to do with ours. */
  foreign(): Promise<EtcdCluster> {
    return (this.#foreign ??= etcdBinary().then(async (binary) => {
      const cluster = await startEtcd({ binary });
      this.#owns.push(() => cluster.stop());
      return cluster;
    }));
  }

  /**
   * Lets `harm` take etcd's history away, or put an older one in its place. Nobody reaches etcd meanwhile, so that what
   * stood before is known, and what stands from the beginning of the new one too.
   */
  cutHistory(harm: () => Promise<void>): Promise<void> {
    const relink = async (): Promise<void> => {
      for (const { links } of this.candidates) await Promise.all(links.map((link) => link.restore()));
    };
    return (this.#cutting = (async () => {
      for (const { links } of this.candidates) for (const link of links) link.cut();
      const fromMs = nowMs();
      try {
        const before = await this.#standing();
        await harm();
        const { logs } = await this.#standing();
        const keysBack = (await this.operator.list(`election/${this.election}/`)).map(
          ({ createRevision }) => createRevision,
        );
        // Read once more: what stands beside etcd changed meanwhile.
        const http = this.resource.log;
        this.resource.clear();
        const logsBefore = { etcd: before.logs.etcd, http };
        const atMs = nowMs();
        this.#cuts.push({ fromMs, atMs, before: { ...before, logs: logsBefore }, base: logs.etcd, keysBack });
      } finally {
        await relink();
      }
    })());
  }

  /** All in one read. */
  async #standing(): Promise<Standing> {
    const all = await this.operator.list(this.#logPrefix);
    const under = (folder: string): typeof all =>
      all.filter(({ key }) => key.startsWith(`${this.#logPrefix}${folder}`));
    const entryOf = ({ key, modRevision, version }: (typeof all)[number]): LogEntry => {
      const [token, process, counter] = key.slice(`${this.#logPrefix}log/`.length).split('/');
      return {
        process: process!,
        token: BigInt(token!),
        counter: Number(counter),
        order: modRevision,
        times: version,
      };
    };
    return {
      logs: { etcd: under('log/').map(entryOf), http: this.resource.log },
      timesWritten: under('last')[0]?.version ?? 0,
      elseBranches: under('else/').map(({ key }) => key),
    };
  }

  /** How many appends have stood in etcd until now. */
  async timesWritten(): Promise<number> {
    const [counted] = await this.operator.list(`${this.#logPrefix}last`);
    return counted?.version ?? 0;
  }

  /** Ends the run: everybody healthy again, then everybody resigns; reads the logs and checks all. */
  async verdict(): Promise<Outcome> {
    await Promise.all(this.candidates.map((candidate) => candidate.restore()));
    const endMs = nowMs();
    await this.#everybodyLeaves();
    const histories = await Promise.all(
      this.candidates.map(async ({ name, historyFile }) =>
        readHistory(name, await readFile(historyFile, 'utf8').catch(() => '')),
      ),
    );
    const standing = await this.#standing();
    const appends = histories.flatMap((history) => history.appends);
    const acting = histories.flatMap((history) => history.acting);
    const errors = new Map<string, number>();
    for (const history of histories)
      for (const [code, times] of history.errors) errors.set(code, (errors.get(code) ?? 0) + times);
    const endings = new Map<string, number>();
    for (const { endedBecause = 'killed' } of acting)
      endings.set(endedBecause, (endings.get(endedBecause) ?? 0) + 1);
    const evidence: Evidence = {
      acting,
      appends,
      ...standing,
      cuts: this.#cuts,
      kills: this.kills,
      faults: this.faults,
      endMs,
      grantedTtlMs: this.ttlMs,
      hasTokens: this.#hasTokens,
    };
    const allGaps = gaps(evidence, NOISE_MS);
    const tally = (outcome: string): number => appends.filter((append) => append.outcome === outcome).length;
    return {
      findings: [...unsafe(evidence), ...tooLong(allGaps)],
      gaps: allGaps,
      terms: acting.length,
      stamps: acting.reduce((sum, { stamps }) => sum + stamps, 0),
      appends: {
        acknowledged: tally('acknowledged'),
        refused: tally('refused'),
        unknown: tally('unknown'),
      },
      refusedByResource: this.resource.refused,
      errors,
      endings,
      faults: this.faults,
      evidence,
    };
  }

  async #everybodyLeaves(): Promise<void> {
    if (!this.#hasTokens) {
      // etcd3's own election is not asked to: what it does when it leaves is not what we compare.
      for (const candidate of this.candidates) await this.kill(candidate);
      return;
    }
    for (const candidate of this.candidates) candidate.hasLeft = false;
    for (const candidate of this.candidates) candidate.tell({ do: 'resign' });
    await this.until('everybody left', () => this.candidates.every(({ hasLeft }) => hasLeft));
    for (const candidate of this.candidates) await candidate.kill();
  }

  /** In milliseconds. */
  get runningForMs(): number {
    return nowMs() - this.#startedAtMs;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const candidate of this.candidates) {
      if (candidate.isFrozen) candidate.thaw();
      await candidate.kill();
    }
    for (const end of [...this.#owns].reverse()) await end();
  }
}
