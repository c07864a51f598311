/**
 * Outage and recovery: a thousand elections in one process while etcd is down for a minute, and after its
 * return. Also with one of three members frozen for as long.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import { startEtcd } from 'etcd-election/dev';
import { Actor } from './company.ts';
import { cpuMs } from './meter.ts';

export interface OutageRow {
  readonly what: string;
  readonly elections: number;
  readonly seconds: number;
  readonly cpuPercent: number;
  /** TCP connections that the process started meanwhile. */
  readonly dials: number;
  /** The lowest number of leading elections meanwhile, read every second. */
  readonly fewestLeading: number;
  /** From etcd's first answer, or the freeze of the member, until all lead. */
  readonly allLeadAfterMs: number;
}

export interface OutageResult {
  readonly rows: readonly OutageRow[];
}

const TTL_SECONDS = 10;
const LOOK_EVERY_MS = 50;
/** Reading the state of a thousand elections costs processor time, which is measured here. */
const LOOK_SELDOM_MS = 1_000;

export async function outage(count: number, seconds: number): Promise<OutageResult> {
  return { rows: [await gone(count, seconds), await frozen(count, seconds)] };
}

async function gone(count: number, seconds: number): Promise<OutageRow> {
  await using etcd = await startEtcd();
  await using actor = new Actor();
  await lead(actor, etcd.endpoints, count);
  await etcd.members[0]!.kill();
  const cost = await costOf(actor, seconds, () => sleep(seconds * 1000));
  const { leading } = await actor.tell({ do: 'leading' });
  await etcd.members[0]!.start();
  return {
    what: 'etcd gone',
    elections: count,
    ...cost,
    fewestLeading: leading,
    allLeadAfterMs: await untilAllLead(actor, count),
  };
}

async function frozen(count: number, seconds: number): Promise<OutageRow> {
  await using etcd = await startEtcd({ members: 3 });
  await using actor = new Actor();
  await lead(actor, etcd.endpoints, count);
  const victim = await leaderOf(etcd.endpoints); // the member whose freeze costs most
  let fewest = count;
  let brokenMs = 0;
  const cost = await costOf(actor, seconds, async () => {
    etcd.members[victim]!.freeze();
    const frozenAtMs = performance.now();
    while (performance.now() - frozenAtMs < seconds * 1000) {
      await sleep(LOOK_SELDOM_MS);
      const { leading } = await actor.tell({ do: 'leading' });
      fewest = Math.min(fewest, leading);
      if (leading < count) brokenMs = performance.now() + LOOK_SELDOM_MS - frozenAtMs;
    }
  });
  etcd.members[victim]!.thaw();
  return {
    what: "etcd's own leader frozen, two members live",
    elections: count,
    ...cost,
    fewestLeading: fewest,
    allLeadAfterMs: brokenMs,
  };
}

/** The cost of a period for the process with the elections. */
async function costOf(
  actor: Actor,
  seconds: number,
  stretch: () => Promise<unknown>,
): Promise<Pick<OutageRow, 'seconds' | 'cpuPercent' | 'dials'>> {
  const before = await actor.tell({ do: 'usage' });
  const cpuBefore = await cpuMs(actor.pid);
  await stretch();
  const cpu = (await cpuMs(actor.pid)) - cpuBefore;
  const { dials } = await actor.tell({ do: 'usage' });
  return { seconds, cpuPercent: cpu / (seconds * 10), dials: dials - before.dials };
}

async function lead(actor: Actor, hosts: readonly string[], count: number): Promise<void> {
  await actor.tell({ do: 'connect', client: 'c', hosts });
  await actor.tell({ do: 'lead-many', client: 'c', prefix: 'outage/', count, ttlSeconds: TTL_SECONDS });
  await sleep(TTL_SECONDS * 1000); // the start has no effect any more
}

async function untilAllLead(actor: Actor, count: number): Promise<number> {
  const sinceMs = performance.now();
  while ((await actor.tell({ do: 'leading' })).leading < count) {
    if (performance.now() - sinceMs > 60_000) return Number.POSITIVE_INFINITY;
    await sleep(LOOK_EVERY_MS);
  }
  return performance.now() - sinceMs;
}

async function leaderOf(endpoints: readonly string[]): Promise<number> {
  for (const [index, endpoint] of endpoints.entries()) {
    const client = new Etcd3({ hosts: endpoint });
    const { leader, header } = await client.maintenance.status();
    client.close();
    if (leader === header.member_id) return index;
  }
  return 0;
}
