/**
 * Crash: from `kill -9` of the leader's process until the next candidate's `onLeader` in another process, at a
 * random moment between two renewals. Each leader has its own process.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { startEtcd } from 'etcd-election/dev';
import { Actor, type Stand } from './company.ts';
import { summary, type Summary } from './figures.ts';

export interface CrashRow {
  readonly ttlSeconds: number;
  readonly lastWill: boolean;
  readonly summary: Summary;
  readonly samples: readonly number[];
}

export interface CrashResult {
  readonly rows: readonly CrashRow[];
}

/** Processes that start together: more of them would only delay each other. */
const START_AT_ONCE = 5;

export async function crash(
  plan: readonly { ttlSeconds: number; lastWill: boolean }[],
  kills: number,
): Promise<CrashResult> {
  const rows: CrashRow[] = [];
  for (const { ttlSeconds, lastWill } of plan) {
    await using etcd = await startEtcd();
    await using next = new Actor();
    await next.tell({ do: 'connect', client: 'c', hosts: etcd.endpoints });
    const stand = (number: number, value: string): Stand => ({
      by: 'ours',
      id: `e${number}`,
      client: 'c',
      hosts: etcd.endpoints,
      prefix: 'crash/',
      election: `e${number}`,
      value,
      ttlSeconds,
      lastWill,
    });
    const samples: number[] = [];
    const leaders: Actor[] = [];
    try {
      for (let from = 0; from < kills; from += START_AT_ONCE)
        await Promise.all(
          Array.from({ length: Math.min(START_AT_ONCE, kills - from) }, async (_, index) => {
            const leader = new Actor();
            leaders[from + index] = leader;
            await leader.tell({ do: 'stand', stands: [stand(from + index, '10.0.0.1')] });
            await leader.when('led', `e${from + index}`);
          }),
        );
      for (let number = 0; number < kills; number++) {
        await next.tell({ do: 'stand', stands: [{ ...stand(number, '10.0.0.2'), lastWill: false }] });
        await next.when('queued', `e${number}`);
      }
      await sleep((ttlSeconds * 1000) / 3); // even the last one has renewed
      const led: Promise<void>[] = [];
      for (const [number, leader] of leaders.entries()) {
        await sleep(50 + Math.random() * 300);
        const atMs = Number(process.hrtime.bigint()) / 1e6;
        await leader.kill();
        led.push(next.when('led', `e${number}`).then((whenMs) => void samples.push(whenMs - atMs)));
      }
      await Promise.all(led);
    } finally {
      await Promise.all(leaders.map((leader) => leader.kill()));
    }
    rows.push({ ttlSeconds, lastWill, summary: summary(samples), samples });
  }
  return { rows };
}
