/**
 * Cost to etcd: the messages that it receives (each call, and each message on a stream) for one term from the
 * first request to the last, and in an idle hour. For this library and for its peers, with a TTL of 10 s.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { startEtcd } from 'etcd-election/dev';
import { Actor, type Stand } from './company.ts';
import { goActor } from './go.ts';
import { callsOf } from './meter.ts';

type Calls = Readonly<Record<string, number>>;

export interface CostRow {
  readonly who: string;
  /** Campaign, lead, resign, for the first election of a connected client. */
  readonly firstTerm: Calls;
  /** The same for a second election, while the first one leads. */
  readonly furtherTerm: Calls;
  /** While elections lead and nothing happens, by the number of elections. */
  readonly idle: Readonly<Record<string, Calls>>;
  readonly idleSeconds: number;
}

export interface CostResult {
  readonly rows: readonly CostRow[];
}

const TTL_SECONDS = 10;
/** Until the start is complete: renewals and probes have become regular. */
const SETTLING_MS = 5_000;
/** The messages after a resignation arrive within this time. */
const AFTERWARDS_MS = 1_000;

const peers: readonly { who: string; by: Stand['by'] | 'go' }[] = [
  { who: 'etcd-election', by: 'ours' },
  { who: "etcd3's Election", by: 'etcd3' },
  { who: "Go's concurrency.Election", by: 'go' },
];

export async function cost(idleCounts: readonly number[], idleSeconds: number): Promise<CostResult> {
  const rows = await Promise.all(peers.map(({ who, by }) => costOf(who, by, idleCounts, idleSeconds)));
  return { rows: rows.filter((row) => row !== undefined) };
}

async function costOf(
  who: string,
  by: Stand['by'] | 'go',
  idleCounts: readonly number[],
  idleSeconds: number,
): Promise<CostRow | undefined> {
  await using etcd = await startEtcd();
  const hosts = etcd.endpoints;
  const start = (): Promise<Actor | undefined> =>
    by === 'go' ? goActor(hosts) : Promise.resolve(new Actor());
  const stand = async (actor: Actor, id: string): Promise<void> => {
    const stands: Stand[] = [
      {
        by: by === 'go' ? 'ours' : by,
        id,
        client: 'c',
        prefix: 'cost/',
        election: id,
        value: '10.0.0.1',
        ttlSeconds: TTL_SECONDS,
      },
    ];
    await actor.tell({ do: 'stand', stands });
    await actor.when('led', id);
  };
  const term = (actor: Actor, id: string): Promise<Calls> =>
    callsOf(hosts, async () => {
      await stand(actor, id);
      await actor.tell({ do: 'resign', id });
      await sleep(AFTERWARDS_MS);
    });

  await using first = await start();
  if (first === undefined) return undefined;
  await first.tell({ do: 'connect', client: 'c', hosts });
  const firstTerm = await term(first, 'first');
  await stand(first, 'stays');
  const furtherTerm = await term(first, 'further');
  await first.kill();

  const idle: Record<string, Calls> = {};
  for (const count of idleCounts) {
    await using actor = await start();
    await actor!.tell({ do: 'connect', client: 'c', hosts });
    for (let number = 0; number < count; number++) await stand(actor!, `idle-${count}-${number}`);
    await sleep(SETTLING_MS);
    idle[count] = await callsOf(hosts, () => sleep(idleSeconds * 1000));
  }
  return { who, firstTerm, furtherTerm, idle, idleSeconds };
}
