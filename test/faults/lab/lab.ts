/**
 * A laboratory: candidates as processes, each with its own network to each member of a real etcd, and a history
 * of what they did.
 */
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEtcd, startProxy, type EtcdCluster } from 'etcd-election/dev';
import { hangUp } from './act.ts';
import { setUpAuth, ROOT, userOf, type Credentials } from './auth.ts';
import type { Mutant } from '../../support/mutant.ts';
import { buildCandidate } from './build.ts';
import type { CandidatePlan } from './candidate-protocol.ts';
import type { FaultRecord, HistoryCut, Stretch } from './evidence.ts';
import { Operator } from './gateway.ts';
import { nowMs, readHistory } from './history.ts';
import { MachineNoise } from './machine-noise.ts';
import { startResource, type Resource } from './resource.ts';
import { Candidate } from './candidate-process.ts';
import { etcdBinary } from './etcd-binary.ts';
import { AppendLog } from './append-log.ts';
import { Conditions } from './conditions.ts';
import { outcomeOf, type Outcome } from './outcome.ts';

export interface LabPlan {
  readonly candidates?: number;
  readonly members?: 1 | 3;
  /** In seconds; at least 2, because etcd grants at least 2 s. */
  readonly ttlSeconds?: number;
  readonly kind?: CandidatePlan['kind'];
  readonly sabotage?: Mutant | undefined;
  readonly etcdArgs?: readonly string[];
  readonly stopsAfterMs?: number;
  /** One of this many appends to etcd learns its outcome (`exactlyOnce`); 0: none. Default: 3. */
  readonly onceEach?: number;
  /** Leaders keep a list instead of appending; see jepsen.ts. */
  readonly list?: CandidatePlan['list'];
  /** Whether candidates log in, each as its own user with the least permissions. */
  readonly auth?: boolean;
  /** Additional environment of the candidates. */
  readonly env?: NodeJS.ProcessEnv;
  /** An etcd that undisturbing tests share. Default: the lab has its own etcd. */
  readonly cluster?: EtcdCluster | undefined;
}

/**
 * Delay by the timers of a busy machine with two cores, in milliseconds. It is added to limits of liveness,
 * never of safety. A lab adds the {@link MachineNoise} that it measures.
 */
export const NOISE_MS = 1_500;

/** How many of the last log lines of a candidate a failure shows. */
const LOG_LINES = 20;

export type Marks = Pick<FaultRecord, 'kind' | 'what'> &
  Partial<Pick<FaultRecord, 'touchesEtcd' | 'isOutage' | 'evicts'>>;

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
  readonly #noise = new MachineNoise();
  #foreign: Promise<EtcdCluster> | undefined;
  /** While history is cut, no candidate may reach etcd. */
  #cutting: Promise<void> | undefined;
  readonly #owns: (() => Promise<void>)[];
  readonly #log: AppendLog;
  readonly #hasTokens: boolean;
  readonly #conditions: Conditions;
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
    conditions: Conditions;
  }) {
    this.cluster = parts.cluster;
    this.operator = new Operator(parts.cluster, parts.hasAuth ? ROOT : undefined);
    this.hasAuth = parts.hasAuth;
    this.candidates = parts.candidates;
    this.election = parts.election;
    this.ttlMs = parts.ttlMs;
    this.resource = parts.resource;
    this.#owns = parts.owns;
    this.#log = new AppendLog(this.operator, parts.logPrefix, parts.resource);
    this.#hasTokens = parts.hasTokens;
    this.#conditions = parts.conditions;
  }

  /** Starts etcd, the networks and the candidates. Resolves when one of them leads and writes, and all others wait. */
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
    const conditions = new Conditions();
    const onNews = (): void => conditions.lookAgain();
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
      conditions,
    });
    try {
      for (const candidate of candidates) candidate.start();
      await lab.leader();
      while ((await lab.operator.list(`election/${election}/`)).length < count) await hangUp(20);
      // Faults start only after a first entry exists in the log.
      while (plan.list === undefined && (await lab.operator.list(`${logPrefix}log/`)).length === 0)
        await hangUp(20);
      return lab;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Resolves with the result of `look`, as soon as it has one. */
  until<T>(what: string, look: () => T | undefined | false, withinMs?: number): Promise<T> {
    const describe = (): string => this.describe();
    return this.#conditions.until({ what, look, withinMs, noise: this.#noise, describe });
  }

  /** The state of each candidate, and its last log lines. */
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

  /** Resolves with the acting leader, other than those in `notOf`. */
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

  /** Connects a candidate to etcd again, after a cut of history if one is in progress. */
  async reconnect({ links }: Pick<Candidate, 'links'>): Promise<void> {
    await this.#cutting?.catch(() => undefined); // its caller gets the error
    await Promise.all(links.map((link) => link.restore()));
  }

  /** Another etcd cluster, unrelated to ours. */
  foreign(): Promise<EtcdCluster> {
    return (this.#foreign ??= etcdBinary().then(async (binary) => {
      const cluster = await startEtcd({ binary });
      this.#owns.push(() => cluster.stop());
      return cluster;
    }));
  }

  /**
   * Runs `harm`, which deletes etcd's history or replaces it by an older one. No candidate reaches etcd
   * meanwhile. So the contents of the old history at its end, and of the new one at its start, are known.
   */
  cutHistory(harm: () => Promise<void>): Promise<void> {
    const relink = async (): Promise<void> => {
      for (const { links } of this.candidates) await Promise.all(links.map((link) => link.restore()));
    };
    return (this.#cutting = (async () => {
      for (const { links } of this.candidates) for (const link of links) link.cut();
      const fromMs = nowMs();
      try {
        const before = await this.#log.standing();
        await harm();
        const { logs } = await this.#log.standing();
        const keysBack = (await this.operator.list(`election/${this.election}/`)).map(
          ({ createRevision }) => createRevision,
        );
        // Read again, because the resource outside etcd changed meanwhile.
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

  /** How many appends etcd has had until now. */
  timesWritten(): Promise<number> {
    return this.#log.timesWritten();
  }

  /** Ends the run: removes all faults, lets all candidates resign, reads the logs and checks everything. */
  async verdict(): Promise<Outcome> {
    await Promise.all(this.candidates.map((candidate) => candidate.restore()));
    const endMs = nowMs();
    await this.#everybodyLeaves();
    const histories = await Promise.all(
      this.candidates.map(async ({ name, historyFile }) =>
        readHistory(name, await readFile(historyFile, 'utf8').catch(() => '')),
      ),
    );
    const found = {
      ...(await this.#log.standing()),
      cuts: this.#cuts,
      kills: this.kills,
      faults: this.faults,
      endMs,
      grantedTtlMs: this.ttlMs,
      hasTokens: this.#hasTokens,
    };
    return outcomeOf(histories, found, {
      noiseIn: this.noiseIn,
      refusedByResource: this.resource.refused,
    });
  }

  async #everybodyLeaves(): Promise<void> {
    if (!this.#hasTokens) {
      // etcd3's own election does not resign: its behaviour on leaving is not compared.
      for (const candidate of this.candidates) await this.kill(candidate);
      return;
    }
    for (const candidate of this.candidates) candidate.hasLeft = false;
    // The leader leaves last. Otherwise another candidate may lead before it reads its order, and begin one more term.
    for (const isLast of [false, true]) {
      const leaving = this.candidates.filter((one) => !one.hasLeft && (isLast || !one.isActing));
      for (const candidate of leaving) candidate.tell({ do: 'resign' });
      await this.until('everybody left', () => leaving.every(({ hasLeft }) => hasLeft));
    }
    for (const candidate of this.candidates) await candidate.kill();
  }

  /** How long the machine may delay what happens meanwhile, in milliseconds. */
  readonly noiseIn = (stretch: Stretch): number => NOISE_MS + this.#noise.within(stretch);

  /** In milliseconds. */
  get runningForMs(): number {
    return nowMs() - this.#startedAtMs;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#noise.stop();
    for (const candidate of this.candidates) {
      if (candidate.isFrozen) candidate.thaw();
      await candidate.kill();
    }
    for (const end of [...this.#owns].reverse()) await end();
  }
}
