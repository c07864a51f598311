/**
 * Hand-over: from `resign()` in one process until `onLeader` in another, both warm. It is compared with the
 * floor, with the peers, and with another build of this library in the same two processes. The floor is the time
 * from the deletion of a key in one process until a watch in the other reports it, on the same clients. All take
 * turns, so that other load on the machine affects all alike. Each process leads its own election throughout
 * ("keeper"), as a service does: its lease and streams stay, and a hand-over is not the first use of its
 * connection.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { startEtcd } from 'etcd-election/dev';
import { Actor, type Stand } from './company.ts';
import { median, summary, type Summary } from './figures.ts';
import { goActor } from './go.ts';
import { callsOf } from './meter.ts';

export interface HandoverResult {
  readonly samples: Readonly<Record<string, readonly number[]>>;
  readonly summaries: Readonly<Record<string, Summary>>;
  /** The median of each run, in milliseconds. */
  readonly medians: Readonly<Record<string, readonly number[]>>;
  /** The messages that etcd received for one hand-over, by method. */
  readonly calls: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

const WARM_UP = 40;
const TTL_SECONDS = 60;
/** A watch from an old revision takes up to 100 ms before etcd reports each change at once. */
const QUIET_MS = 500;

/** The candidates of one side. */
interface Side {
  readonly name: string;
  readonly by: Stand['by'] | 'go';
  readonly a: Actor;
  readonly b: Actor;
}

/**
 * @param runs each with its own processes and etcd.
 * @param rounds in each run.
 * @param before the `dist` folder of another build for comparison.
 */
export async function handover(runs: number, rounds: number, before?: string): Promise<HandoverResult> {
  const samples: Record<string, number[]> = {};
  const medians: Record<string, number[]> = {};
  let calls: HandoverResult['calls'] = {};
  for (let run = 0; run < runs; run++) {
    const result = await once(rounds, before);
    calls = result.calls;
    for (const [name, values] of Object.entries(result.samples)) {
      (samples[name] ??= []).push(...values);
      (medians[name] ??= []).push(median(values));
    }
  }
  const summaries = Object.fromEntries(
    Object.entries(samples).map(([name, values]) => [name, summary(values)]),
  );
  return { samples, summaries, medians, calls };
}

async function once(
  rounds: number,
  before: string | undefined,
): Promise<Pick<HandoverResult, 'samples' | 'calls'>> {
  await using etcd = await startEtcd();
  const hosts = etcd.endpoints;
  const actors: Actor[] = [];
  const samples: Record<string, number[]> = {};
  const calls: Record<string, Record<string, number>> = {};
  try {
    const sides = await sidesOf(hosts, before, actors);
    for (const side of sides) {
      await prepare(side, hosts);
      for (let round = 0; round <= WARM_UP + rounds; round++) await lineUp(side, `e${round}`);
    }
    await sleep(QUIET_MS);
    for (let round = 1; round <= WARM_UP + rounds; round++) {
      const take = (name: string, ms: number): void =>
        void (round > WARM_UP && (samples[name] ??= []).push(ms));
      // The second side in the same two processes finds them warm, so the order alternates.
      for (const side of round % 2 === 0 ? sides : [...sides].reverse())
        take(side.name, await resign(side, `e${round}`));
      for (const side of sides) {
        if (side.by === 'before') continue;
        take(`floor, ${side.by === 'go' ? 'Go' : side.name}`, await floor(side, round, 'delete'));
        if (side.by !== 'ours') continue;
        // A release must not delete another client's key. This floor shows how much of the difference is due to etcd
        // and etcd3.
        take('floor, where the delete is a transaction', await floor(side, round, 'delete-if'));
      }
    }
    for (const side of sides) calls[side.name] = await callsOf(hosts, () => resign(side, 'e0'));
  } finally {
    await Promise.all(actors.map((actor) => actor.kill()));
  }
  return { samples, calls };
}

async function sidesOf(
  hosts: readonly string[],
  before: string | undefined,
  actors: Actor[],
): Promise<Side[]> {
  const start = (): Actor => {
    const actor = new Actor();
    actors.push(actor);
    return actor;
  };
  const ours = { a: start(), b: start() };
  const sides: Side[] = [{ name: 'etcd-election', by: 'ours', ...ours }];
  if (before !== undefined) {
    for (const actor of [ours.a, ours.b]) await actor.tell({ do: 'load', folder: before });
    sides.push({ name: 'etcd-election before', by: 'before', ...ours });
  }
  sides.push({ name: "etcd3's Election", by: 'etcd3', a: start(), b: start() });
  const go = [await goActor(hosts), await goActor(hosts)] as const;
  for (const actor of go) if (actor !== undefined) actors.push(actor);
  if (go[0] !== undefined && go[1] !== undefined)
    sides.push({ name: "Go's concurrency.Election", by: 'go', a: go[0], b: go[1] });
  return sides;
}

async function prepare({ by, a, b }: Side, hosts: readonly string[]): Promise<void> {
  for (const [place, actor] of [a, b].entries()) {
    await actor.tell({ do: 'connect', client: by, hosts });
    if (by !== 'before') await actor.tell({ do: 'watch', client: by, prefix: `floor-${by}/` });
    await actor.tell({ do: 'stand', stands: [standOf(by, `keeper-${place}`, '10.0.0.1')] });
    await actor.when('led', idOf(by, `keeper-${place}`));
  }
}

const idOf = (by: Side['by'], election: string): string => `${by}-${election}`;

const standOf = (by: Side['by'], election: string, value: string): Stand => ({
  by: by === 'go' ? 'ours' : by,
  id: idOf(by, election),
  client: by,
  prefix: `handover-${by}/`,
  election,
  value,
  ttlSeconds: TTL_SECONDS,
});

/** The first leads, the second waits. */
async function lineUp({ by, a, b }: Side, election: string): Promise<void> {
  await a.tell({ do: 'stand', stands: [standOf(by, election, '10.0.0.1')] });
  await a.when('led', idOf(by, election));
  await b.tell({ do: 'stand', stands: [standOf(by, election, '10.0.0.2')] });
}

/**
 * The first resigns.
 * @returns how long it takes until the second leads.
 */
async function resign({ by, a, b }: Side, election: string): Promise<number> {
  const id = idOf(by, election);
  const { atMs } = await a.tell({ do: 'resign', id });
  return (await b.when('led', id)) - atMs;
}

async function floor({ by, a, b }: Side, round: number, how: 'delete' | 'delete-if'): Promise<number> {
  const key = `floor-${by}/${how}-${round}`;
  await a.tell({ do: 'put', client: by, key });
  const { atMs } = await a.tell({ do: how, client: by, key });
  return (await b.when('deleted', key)) - atMs;
}
