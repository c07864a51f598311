/**
 * The cost of joins, leaves, hand-overs and a rolling restart in one election with many candidates, each with
 * its own lease. All of them are in one process: only the work and time of etcd count.
 */
import { Etcd3 } from 'etcd3';
import { startEtcd } from 'etcd-election/dev';
import { setTimeout as sleep } from 'node:timers/promises';
import { bytesSent, told } from '../guard/support/meter.ts';
import { Actor, type Stand } from './company.ts';
import { median } from './figures.ts';
import { goActor } from './go.ts';
import { cpuMs } from './meter.ts';

/** The average cost of one change. */
export interface ChangeCost {
  /** How often etcd reported a changed key to a watch. */
  readonly told: number;
  /** Bytes that etcd sent. */
  readonly sentBytes: number;
  /** Processor time of etcd, in milliseconds. */
  readonly etcdCpuMs: number;
  /** Processor time of the candidates' process, in milliseconds. */
  readonly cpuMs: number;
}

export interface QueueRow {
  readonly who: string;
  readonly count: number;
  readonly join: ChangeCost;
  readonly leave: ChangeCost;
  readonly handOver: ChangeCost & { readonly medianMs: number };
  /** Each candidate leaves and enters again, one after another; undefined if not measured. */
  readonly restart: (ChangeCost & { readonly allMs: number }) | undefined;
}

export interface QueueResult {
  readonly rows: readonly QueueRow[];
}

type By = 'ours' | 'before' | 'go';

const NAMES: Readonly<Record<By, string>> = {
  ours: 'etcd-election',
  before: 'etcd-election before',
  go: "Go's concurrency.Election",
};
/** Long, so that no renewal falls into the measurement. */
const TTL_SECONDS = 600;
const CHANGES = 10;
const AT_ONCE = 25;
const POLL_MS = 2;
const QUIET_MS = 100;

/** @param restarts the queue sizes at which all candidates are restarted. */
export async function queue(
  counts: readonly number[],
  restarts: readonly number[],
  before?: string,
): Promise<QueueResult> {
  const rows: QueueRow[] = [];
  for (const count of counts)
    for (const by of ['ours', 'before', 'go'] as const) {
      const row = await rowOf(by, count, restarts.includes(count), before);
      if (row !== undefined) rows.push(row);
      if (row !== undefined) console.log(JSON.stringify(row));
    }
  return { rows };
}

async function rowOf(
  by: By,
  count: number,
  isRestarted: boolean,
  before: string | undefined,
): Promise<QueueRow | undefined> {
  if (by === 'before' && before === undefined) return undefined;
  await using etcd = await startEtcd();
  await using actor = by === 'go' ? await goActor(etcd.endpoints) : new Actor();
  if (actor === undefined) return undefined;
  if (by === 'before') await actor.tell({ do: 'load', folder: before! });
  const line = new Line(by, actor, etcd.endpoints);
  try {
    for (let from = 0; from < count; from += AT_ONCE) await line.stand(Math.min(AT_ONCE, count - from));
    const pids = { etcd: etcd.members[0]!.pid!, actor: actor.pid };
    const costOf = (changes: number, act: () => Promise<unknown>): Promise<ChangeCost> =>
      measure(etcd.endpoints[0]!, pids, changes, act);
    const join = await costOf(CHANGES, async () => {
      for (let change = 0; change < CHANGES; change++) await line.stand(1);
    });
    const leave = await costOf(CHANGES, async () => {
      for (let change = 0; change < CHANGES; change++) await line.leave(-1 - Math.floor(line.size / 3));
    });
    const tookMs: number[] = [];
    const turns = Math.min(CHANGES, count - 1);
    const handOver = await costOf(turns, async () => {
      for (let turn = 0; turn < turns; turn++) {
        tookMs.push(await line.handOver());
        await line.stand(1);
      }
    });
    const restart = isRestarted ? await restarted(line, count, costOf) : undefined;
    return {
      who: NAMES[by],
      count,
      join,
      leave,
      handOver: { ...handOver, medianMs: median(tookMs) },
      restart,
    };
  } finally {
    line.close();
  }
}

async function restarted(
  line: Line,
  count: number,
  costOf: (changes: number, act: () => Promise<unknown>) => Promise<ChangeCost>,
): Promise<ChangeCost & { allMs: number }> {
  const sinceMs = performance.now();
  let allMs = 0;
  const cost = await costOf(count, async () => {
    for (const id of line.shuffled()) {
      await line.restart(id);
    }
    allMs = performance.now() - sinceMs;
  });
  return { ...cost, allMs };
}

async function measure(
  endpoint: string,
  pids: { etcd: number; actor: number },
  changes: number,
  act: () => Promise<unknown>,
): Promise<ChangeCost> {
  await sleep(QUIET_MS);
  const read = async (): Promise<number[]> => [
    await told(endpoint),
    await bytesSent(endpoint),
    await cpuMs(pids.etcd),
    await cpuMs(pids.actor),
  ];
  const from = await read();
  await act();
  await quiet(endpoint);
  const to = await read();
  const [toldEach, sentBytes, etcdCpuMs, actorCpuMs] = to.map(
    (value, index) => (value - from[index]!) / changes,
  );
  return { told: toldEach!, sentBytes: sentBytes!, etcdCpuMs: etcdCpuMs!, cpuMs: actorCpuMs! };
}

/** Waits until etcd reports nothing to any watch. */
async function quiet(endpoint: string): Promise<void> {
  for (let before = -1, now = await told(endpoint); now !== before; now = await told(endpoint)) {
    before = now;
    await sleep(QUIET_MS);
  }
}

/** The candidates in order, by ID. */
class Line {
  readonly #by: By;
  readonly #actor: Actor;
  readonly #hosts: readonly string[];
  readonly #client: Etcd3;
  #ids: string[] = [];
  #last = 0;

  constructor(by: By, actor: Actor, hosts: readonly string[]) {
    this.#by = by;
    this.#actor = actor;
    this.#hosts = hosts;
    this.#client = new Etcd3({ hosts: [...hosts] });
  }

  get size(): number {
    return this.#ids.length;
  }

  #standOf(id: string): Stand {
    return {
      by: this.#by === 'before' ? 'before' : 'ours',
      id,
      client: id,
      hosts: this.#hosts,
      prefix: 'queue/',
      election: 'e',
      value: id,
      ttlSeconds: TTL_SECONDS,
    };
  }

  async stand(count: number): Promise<void> {
    const ids = Array.from({ length: count }, () => `c${this.#last++}`);
    await this.#actor.tell({ do: 'stand', stands: ids.map((id) => this.#standOf(id)) });
    this.#ids.push(...ids);
    await this.#shows(this.size);
  }

  /** @param place as of `Array.at`. */
  async leave(place: number): Promise<void> {
    const id = this.#ids.at(place)!;
    this.#ids = this.#ids.filter((other) => other !== id);
    await this.#actor.tell({ do: 'resign', id });
    await this.#shows(this.size);
  }

  async handOver(): Promise<number> {
    const [id, next] = await this.#first();
    this.#ids = this.#ids.filter((other) => other !== id);
    const { atMs } = await this.#actor.tell({ do: 'resign', id });
    return (await this.#actor.when('led', next)) - atMs;
  }

  /** The leader and the next candidate, as etcd has them. */
  async #first(): Promise<[string, string]> {
    const { kvs } = await this.#client.getAll().prefix('queue/e').sort('Create', 'Ascend').limit(2).exec();
    return kvs.map(({ value }) => value.toString()) as [string, string];
  }

  async restart(id: string): Promise<void> {
    await this.#actor.tell({ do: 'resign', id });
    await this.#actor.tell({ do: 'stand', stands: [this.#standOf(id)] });
    await this.#shows(this.size);
  }

  /** The same order for all sides. */
  shuffled(): readonly string[] {
    return this.#ids
      .map((id, index) => ({ id, at: (index * 0.618_034) % 1 }))
      .sort((a, b) => a.at - b.at)
      .map(({ id }) => id);
  }

  /** Waits until etcd has this many candidates. */
  async #shows(count: number): Promise<void> {
    while ((await this.#client.getAll().prefix('queue/e').count()) !== count) await sleep(POLL_MS);
  }

  close(): void {
    this.#client.close();
  }
}
