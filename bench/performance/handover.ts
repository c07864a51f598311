/**
 * Hand-over: `resign()` in one process until `onLeader` in another, both warm; against the floor (a key is deleted in
 * one process until the other one's watch says so, with the same clients) and against the peers. Turn by turn, so
 * that whatever else the machine does hits all alike.
 */
import { startEtcd } from 'etcd-election/dev';
import { Actor, type Stand } from './company.ts';
import { summary, type Summary } from './figures.ts';
import { goActor } from './go.ts';
import { callsOf } from './meter.ts';

export interface HandoverResult {
  readonly samples: Readonly<Record<string, readonly number[]>>;
  readonly summaries: Readonly<Record<string, Summary>>;
  /** What etcd received for one hand-over, by method. */
  readonly calls: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

const WARM_UP = 30;
const TTL_SECONDS = 60;

interface Pair {
  readonly name: string;
  readonly by: Stand['by'] | 'go';
  readonly a: Actor;
  readonly b: Actor;
}

export async function handover(rounds: number): Promise<HandoverResult> {
  await using etcd = await startEtcd();
  const hosts = etcd.endpoints;
  const pairs: Pair[] = [
    { name: 'etcd-election', by: 'ours', a: new Actor(), b: new Actor() },
    { name: "etcd3's Election", by: 'etcd3', a: new Actor(), b: new Actor() },
  ];
  const [goA, goB] = [await goActor(hosts), await goActor(hosts)];
  if (goA !== undefined && goB !== undefined)
    pairs.push({ name: "Go's concurrency.Election", by: 'go', a: goA, b: goB });
  const samples: Record<string, number[]> = {};
  const calls: Record<string, Record<string, number>> = {};
  try {
    for (const { by, a, b } of pairs)
      for (const actor of [a, b]) {
        await actor.tell({ do: 'connect', client: 'c', hosts });
        await actor.tell({ do: 'watch', client: 'c', prefix: `floor-${by}/` });
      }
    for (const pair of pairs) {
      for (let round = 0; round < WARM_UP + rounds; round++) await prepare(pair, round);
      calls[pair.name] = await callsOf(hosts, () => resign(pair, 0));
    }
    for (let round = 1; round < WARM_UP + rounds; round++)
      for (const pair of pairs) {
        const ms = await once(pair, round);
        const floorMs = await floor(pair, round, 'delete');
        // A release must not delete what another has put meanwhile: so much of the rest is etcd's and etcd3's.
        const safeMs = pair.by === 'ours' ? await floor(pair, round, 'delete-if') : undefined;
        if (round < WARM_UP) continue;
        (samples[pair.name] ??= []).push(ms);
        if (safeMs !== undefined) (samples['floor, where the delete is a transaction'] ??= []).push(safeMs);
        (samples[`floor, ${pair.by === 'go' ? 'Go' : pair.name}`] ??= []).push(floorMs);
      }
  } finally {
    for (const { a, b } of pairs) await Promise.all([a.kill(), b.kill()]);
  }
  const summaries = Object.fromEntries(
    Object.entries(samples).map(([name, values]) => [name, summary(values)]),
  );
  return { samples, summaries, calls };
}

/** The first leads, the second waits. */
async function prepare({ by, a, b }: Pair, round: number): Promise<void> {
  const stand = (value: string): Stand => ({
    by: by === 'go' ? 'ours' : by,
    id: `e${round}`,
    client: 'c',
    prefix: `handover-${by}/`,
    election: `e${round}`,
    value,
    ttlSeconds: TTL_SECONDS,
  });
  await a.tell({ do: 'stand', stands: [stand('10.0.0.1')] });
  await a.when('led', `e${round}`);
  await b.tell({ do: 'stand', stands: [stand('10.0.0.2')] });
}

async function once(pair: Pair, round: number): Promise<number> {
  await pair.a.tell({ do: 'put', client: 'c', key: `floor-${pair.by}/${round}` }); // as warm as the floor
  return await resign(pair, round);
}

async function resign({ a, b }: Pair, round: number): Promise<number> {
  const { atMs } = await a.tell({ do: 'resign', id: `e${round}` });
  return (await b.when('led', `e${round}`)) - atMs;
}

async function floor({ by, a, b }: Pair, round: number, how: 'delete' | 'delete-if'): Promise<number> {
  const key = `floor-${by}/${how}-${round}`;
  await a.tell({ do: 'put', client: 'c', key });
  const { atMs } = await a.tell({ do: how, client: 'c', key });
  return (await b.when('deleted', key)) - atMs;
}
