/**
 * A simulated world from one seed: processes with the library's real code, three members of etcd, the network
 * between them, and the faults. The same seed and the same list of faults give the same world, to the last
 * message.
 */
import type { FaultRecord, HistoryCut } from '../../faults/lab/evidence.ts';
import { Cluster, type Defects } from '../etcd/cluster.ts';
import type { Fault } from '../faults/fault.ts';
import type { Fact, Plan } from '../inside/host.ts';
import type { Endpoint } from '../network/endpoint.ts';
import { Network } from '../network/network.ts';
import { Trace } from '../network/trace.ts';
import type { Code } from '../process/code.ts';
import { SimulatedProcess } from '../process/process.ts';
import { between, pick, stream, type Random } from '../process/random.ts';
import { VirtualTime } from '../process/scheduler.ts';
import { crowdStory } from './crowd-story.ts';
import { endpointOf } from './endpoint-of.ts';
import { FaultPlan } from './fault-plan.ts';
import { Operator } from './operator.ts';
import { Record } from './record.ts';
import { Resource } from './resource.ts';
import { standing, type Where } from './standing.ts';
import { tell, until, type Story } from './story.ts';
import { Vitals } from './vitals.ts';

export interface WorldOptions {
  readonly seed: number;
  readonly code: Code;
  readonly faults: readonly Fault[];
  readonly ttlSeconds: number;
  readonly candidates: number;
  readonly defects?: Partial<Defects>;
  /** The largest deviation of the rates of clocks from true time. Default: {@link CLOCK_SKEW}. */
  readonly clockSkew?: number;
  /** The margin of all elections, in milliseconds. Default: the library's. */
  readonly marginMs?: number;
  /** The number of additional elections of each process, and until when they come and go. Default: none. */
  readonly crowd?: number;
  readonly crowdUntilMs?: number;
  /** How many leaders step down one after another at the end. Default: none. */
  readonly relay?: number;
}

/** The largest deviation of the clock rates of processes and members: two clocks differ by at most 9 %. */
const CLOCK_SKEW = 0.045;

/** No two lives of a process share a number of an append. */
const APPENDS_PER_LIFE = 1_000_000;

/** How long the work continues after the end of its term, in milliseconds; usually within the drain. */
const STOPS_AFTER_MS = [0, 0, 20, 300, 1_000, 15_000] as const;

/** How long packets in transit may take to arrive after etcd is cut off, in milliseconds. */
const SETTLE_MS = 200;

/** How long the last packets may take after `close()` has resolved, in milliseconds. */
const LEAVES_WITHIN_MS = 1_000;

const PEEK_MS = 0.05;

/** How many candidates never leave for good. */
const FEWEST = 2;

export class World implements Where {
  readonly time = new VirtualTime();
  readonly trace = new Trace();
  readonly record = new Record();
  readonly vitals = new Vitals();
  readonly options: WorldOptions;
  readonly cluster: Cluster;
  readonly network: Network;
  readonly operator: Operator;
  readonly resource: Resource;
  readonly keyPrefix = 'election/job/';
  readonly logPrefix = 'app/';
  readonly faults: FaultRecord[] = [];
  readonly kills: { readonly process: string; readonly atMs: number }[] = [];
  readonly cuts: HistoryCut[] = [];
  /** Hand-overs without faults that did not happen. */
  readonly stuck: string[] = [];
  /** Processes whose work once continued for longer than the end of a term waits for it. */
  readonly slowToStop = new Set<string>();
  /** The queue after all faults, in order; undefined if etcd did not answer. */
  queueAtEnd: readonly { readonly process: string; readonly token: string }[] | undefined;
  /** Exceptions that would have ended a process. */
  readonly crashes: string[] = [];
  /** The process whose callback is running. */
  running: SimulatedProcess | undefined;
  /** The remaining connections of each process after it closed its elections. */
  readonly left: { readonly process: string; readonly connections: number }[] = [];
  readonly #random: Random;
  readonly #processes = new Map<string, SimulatedProcess>();
  readonly #faultPlan = new FaultPlan(this);
  /** Processes that have left the election for good. */
  readonly #away = new Set<string>();
  #foreign: Endpoint | undefined;
  #lives = 0;
  #looksAtCrowds = false;

  constructor(options: WorldOptions) {
    this.options = options;
    const { seed, defects = {} } = options;
    this.#random = stream(seed, 'world');
    this.cluster = new Cluster({
      scheduler: this.time,
      random: stream(seed, 'etcd'),
      defects,
      clusterId: '7001',
    });
    const endpoints = new Map<string, Endpoint>();
    for (const member of this.cluster.members) {
      member.setClockRate(this.#drawRate());
      const endpoint = endpointOf(member);
      endpoints.set(`${member.name}:2379`, endpoint);
      member.onDown(() => {
        for (const link of this.network.linksTo(endpoint)) link.reset();
      });
    }
    this.network = new Network(endpoints, { time: this.time, trace: this.trace, seed });
    this.operator = new Operator(() => [...endpoints.values()]);
    this.resource = new Resource(this.time, stream(seed, 'resource'));
    for (let index = 0; index < options.candidates; index++) {
      const name = `${String.fromCharCode(65 + (index % 26))}${index < 26 ? '' : Math.floor(index / 26)}`;
      this.time.after(this.#random() * 500, () => this.startAgain(name));
    }
    if (options.crowd !== undefined) tell(this.time, crowdStory(this));
    for (const fault of options.faults) this.time.at(fault.atMs, () => this.#faultPlan.begin(fault));
  }

  get ttlMs(): number {
    return this.options.ttlSeconds * 1000;
  }

  /** Half of the clocks are at the ends of the range: errors are greatest there. */
  #drawRate(): number {
    const { clockSkew = CLOCK_SKEW } = this.options;
    const deviation = between(this.#random, -2, 2);
    return 1 + clockSkew * Math.max(-1, Math.min(1, deviation));
  }

  startAgain(name: string): void {
    this.#away.delete(name);
    const { seed, code } = this.options;
    const life = ++this.#lives;
    const process = new SimulatedProcess({
      code,
      seed,
      time: this.time,
      plan: this.#planOf(name, life),
      pid: 1000 + life,
      clockRate: this.#drawRate(),
      bootMs: 1_000_000,
      connect: (who, address, to) => this.network.connect(who, address, to),
      post: (who, token, counter, settle) => this.#post(who, token, counter, settle),
      onFact: (who, fact, atMs) => this.#onFact(who, fact, atMs),
      onLog: (who, level, text, fields, atMs) => this.vitals.log(who.name, { level, text, fields, atMs }),
      onCallback: (who) => {
        this.running = who;
      },
      onCrash: (who, error) =>
        this.crashes.push(`${who.name}: ${(error as { stack?: string }).stack ?? String(error)}`),
    });
    this.#processes.set(name, process);
    this.vitals.begin(process, this.time);
  }

  #planOf(name: string, life: number): Plan {
    const { ttlSeconds } = this.options;
    const stopsAfterMs = pick(this.#random, STOPS_AFTER_MS);
    const drainMs = 0.85 * this.ttlMs;
    if (stopsAfterMs > drainMs) this.slowToStop.add(name);
    return {
      name,
      ttlSeconds,
      marginMs: this.options.marginMs,
      hosts: this.network.addresses,
      election: 'job',
      logPrefix: this.logPrefix,
      firstCounter: life * APPENDS_PER_LIFE,
      appendEveryMs: this.ttlMs / 3,
      stopsAfterMs,
      drainMs,
      onceEach: 2,
      crowd: this.options.crowd ?? 0,
    };
  }

  get processes(): readonly SimulatedProcess[] {
    return [...this.#processes.values()];
  }

  current(name: string): SimulatedProcess {
    return this.#processes.get(name)!;
  }

  /** The process does not stand until it starts again. @returns false if too few others would remain. */
  staysAway(name: string): boolean {
    if (this.#away.size + FEWEST >= this.#processes.size) return false;
    this.#away.add(name);
    return true;
  }

  standAgain(name: string): void {
    this.#away.delete(name);
    this.current(name).ask((program) => program.campaign());
  }

  kill(process: SimulatedProcess): void {
    this.vitals.end(process, this.time.now());
    process.kill();
    this.network.abandon(process);
    this.record.gone(process.name);
    this.kills.push({ process: process.name, atMs: this.time.now() });
  }

  /** Lets one process act first, and then all other running ones: this shows whether two of them may act. */
  look(first: SimulatedProcess): void {
    first.ask((program) => program.look());
    for (const process of this.#processes.values())
      if (process !== first) process.ask((program) => program.look());
  }

  #onFact(process: SimulatedProcess, fact: Fact, atMs: number): void {
    this.record.add(process.name, fact, atMs);
    if (fact.type === 'left' && fact.how === 'close')
      this.time.at(atMs + LEAVES_WITHIN_MS, () => this.#noteLeft(process));
    if (fact.type === 'seat') this.#lookAtCrowds(atMs);
    if (fact.type === 'elected') this.time.at(atMs + PEEK_MS, () => this.look(process));
  }

  /** Checks soon after an additional election has a leader: this shows a second leader. */
  #lookAtCrowds(atMs: number): void {
    if (this.#looksAtCrowds) return;
    this.#looksAtCrowds = true;
    this.time.at(atMs + PEEK_MS, () => {
      for (const process of this.#processes.values()) process.ask((program) => program.crowd('look'));
      this.#looksAtCrowds = false;
    });
  }

  #noteLeft(process: SimulatedProcess): void {
    const connections = this.network.connectionsOf(process);
    this.left.push({ process: process.name, connections });
  }

  /** The key of the process's term, if it leads. */
  heldBy(name: string): { readonly key: string; readonly leaseId: string } | undefined {
    return this.record.heldBy(name);
  }

  get leader(): SimulatedProcess | undefined {
    const name = this.record.lastElected;
    const process = name === undefined ? undefined : this.#processes.get(name);
    return process?.isAlive === true && this.record.heldBy(process.name) !== undefined ? process : undefined;
  }

  #post(
    process: SimulatedProcess,
    token: string,
    counter: number,
    settle: (outcome: 'acknowledged' | 'refused' | 'unknown') => void,
  ): void {
    const answer = (outcome: 'acknowledged' | 'refused'): void => process.loop.arrived(() => settle(outcome));
    const electedMs = this.record.electedMs(process.name, token);
    const sentMs = process.loop.nowMs;
    this.resource.append({ process: process.name, token: BigInt(token), counter, electedMs, sentMs }, answer);
  }

  /** A member of another etcd cluster, which answers like etcd. */
  get foreignEndpoint(): Endpoint {
    if (this.#foreign === undefined) {
      const cluster = new Cluster({
        scheduler: this.time,
        random: stream(this.options.seed, 'foreign'),
        members: 1,
        clusterId: '9009',
      });
      this.#foreign = endpointOf(cluster.members[0]!, 'foreign');
    }
    return this.#foreign;
  }

  /** A run that cannot continue: a process spins, or has crashed. */
  get isBroken(): boolean {
    return this.crashes.length > 0 || this.vitals.busy.length > 0;
  }

  get faultsUnderWay(): boolean {
    return this.#faultPlan.isUnderWay;
  }

  /** etcd loses its history, and no process reaches it meanwhile. */
  *cutHistory(cut: () => void): Story {
    const links = this.processes.flatMap(({ name }) => this.network.linksOf(name));
    for (const link of links) link.block('up', 'down');
    const fromMs = this.time.now();
    yield SETTLE_MS;
    const before = yield* standing(this);
    const http = [...this.resource.log];
    for (const link of links) link.loseAnswers();
    cut();
    this.resource.clear(this.ttlMs);
    yield* this.operator.put('probe');
    const { logs } = yield* standing(this);
    const keys = (yield* this.operator.read(this.keyPrefix)) ?? [];
    const keysBack = keys.map(({ create_revision: token }) => BigInt(token));
    this.cuts.push({
      fromMs,
      atMs: this.time.now(),
      before: { ...before, logs: { ...before.logs, http } },
      base: logs.etcd,
      keysBack,
    });
    for (const link of links) link.unblock('up', 'down');
  }

  *readQueueAtEnd(): Story {
    const keys = yield* this.operator.read(this.keyPrefix);
    this.queueAtEnd = keys
      ?.map(({ value, create_revision: token }) => ({ process: value.toString(), token }))
      .sort((a, b) => Number(a.token) - Number(b.token));
  }

  /**
   * Waits until some process leads.
   * @returns whether one did in time.
   */
  *untilLed(withinMs: number): Generator<number, boolean, void> {
    return yield* until(() => this.leader?.isRunning === true, withinMs);
  }
}
