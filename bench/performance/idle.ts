/**
 * Idle: elections that lead and do nothing. Processor time of the process and of etcd, and memory compared with
 * a bare client.
 */
import { startEtcd } from 'etcd-election/dev';
import { Actor } from './company.ts';
import { mean } from './figures.ts';
import { callsOf, cpuPercent } from './meter.ts';

export interface IdleRow {
  readonly count: number;
  /** In each period of 10 s: flat means that all are similar. */
  readonly cpuPercents: readonly number[];
  readonly etcdCpuPercent: number;
  readonly heapBytesEach: number;
  readonly residentBytesEach: number;
  /** The messages that etcd received in that time, by method. */
  readonly calls: Readonly<Record<string, number>>;
  readonly seconds: number;
}

export interface IdleResult {
  readonly rows: readonly IdleRow[];
}

const TTL_SECONDS = 10;
const SLICE_MS = 10_000;
/** Until the start has no effect any more: after 30 s without failures the guard of each election forgets it. */
const SETTLING_MS = 36_000;

export async function idle(counts: readonly number[], seconds: number): Promise<IdleResult> {
  const rows: IdleRow[] = [];
  for (const count of [0, ...counts]) {
    await using etcd = await startEtcd();
    await using actor = new Actor();
    await actor.tell({ do: 'connect', client: 'c', hosts: etcd.endpoints });
    const before = await actor.tell({ do: 'usage' });
    if (count > 0) {
      const order = {
        do: 'lead-many',
        client: 'c',
        prefix: 'idle/',
        count,
        ttlSeconds: TTL_SECONDS,
      } as const;
      await actor.tell(order);
    }
    await cpuPercent([actor.pid], SETTLING_MS);
    const slices: number[][] = [];
    const calls = await callsOf(etcd.endpoints, async () => {
      for (let fromMs = 0; fromMs < seconds * 1000; fromMs += SLICE_MS)
        slices.push(await cpuPercent([actor.pid, etcd.members[0]!.pid!], SLICE_MS));
    });
    const after = await actor.tell({ do: 'usage' });
    rows.push({
      count,
      cpuPercents: slices.map(([ours]) => ours!),
      etcdCpuPercent: mean(slices.map(([, etcds]) => etcds!)),
      heapBytesEach: (after.heapBytes - before.heapBytes) / Math.max(1, count),
      residentBytesEach: (after.residentBytes - before.residentBytes) / Math.max(1, count),
      calls,
      seconds,
    });
  }
  return { rows };
}
