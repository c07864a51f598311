/** Idle: elections that lead and do nothing. Processor time of the process and of etcd, memory against a bare client. */
import { startEtcd } from 'etcd-election/dev';
import { Actor } from './company.ts';
import { callsOf, cpuPercent } from './meter.ts';

export interface IdleRow {
  readonly count: number;
  readonly cpuPercent: number;
  readonly etcdCpuPercent: number;
  readonly heapBytesEach: number;
  readonly residentBytesEach: number;
  /** What etcd received in that time, by method. */
  readonly calls: Readonly<Record<string, number>>;
  readonly seconds: number;
}

export interface IdleResult {
  readonly rows: readonly IdleRow[];
}

const TTL_SECONDS = 10;
/** Until what its start left over is done: after 30 s in good order the guard of each election forgets its start. */
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
    let cpu: number[] = [];
    const calls = await callsOf(etcd.endpoints, async () => {
      cpu = await cpuPercent([actor.pid, etcd.members[0]!.pid!], seconds * 1000);
    });
    const after = await actor.tell({ do: 'usage' });
    rows.push({
      count,
      cpuPercent: cpu[0]!,
      etcdCpuPercent: cpu[1]!,
      heapBytesEach: (after.heapBytes - before.heapBytes) / Math.max(1, count),
      residentBytesEach: (after.residentBytes - before.residentBytes) / Math.max(1, count),
      calls,
      seconds,
    });
  }
  return { rows };
}
