/**
 * Start: from the start of many elections on one client until all lead, compared with as many create
 * transactions on the bare client, with as many in flight. A fresh process each, alternately.
 */
import { startEtcd } from 'etcd-election/dev';
import { Actor } from './company.ts';
import { median } from './figures.ts';
import { goActor } from './go.ts';
import { callsOf } from './meter.ts';

export interface StartResult {
  readonly byCount: Readonly<
    Record<
      string,
      {
        readonly oursMs: readonly number[];
        readonly bareMs: readonly number[];
        readonly goMs: readonly number[];
        /** The median of the ratios of neighbouring runs. */
        readonly ratio: number;
        readonly calls: Readonly<Record<string, number>>;
      }
    >
  >;
}

/** More than the library's limit of 64 in flight: for the bare client it made no difference. */
const AT_ONCE = 256;

export async function start(plan: readonly { count: number; times: number }[]): Promise<StartResult> {
  const byCount: Record<string, StartResult['byCount'][string]> = {};
  for (const { count, times } of plan) {
    const [oursMs, bareMs, goMs] = [[] as number[], [] as number[], [] as number[]];
    let calls: Record<string, number> = {};
    for (let time = 0; time < times; time++) {
      await using etcd = await startEtcd();
      const hosts = etcd.endpoints;
      {
        await using bare = new Actor();
        await bare.tell({ do: 'connect', client: 'c', hosts });
        const order = { do: 'create-many', client: 'c', prefix: 'bare/', count, atOnce: AT_ONCE } as const;
        bareMs.push((await bare.tell(order)).ms);
      }
      {
        await using ours = new Actor();
        await ours.tell({ do: 'connect', client: 'c', hosts });
        calls = await callsOf(hosts, async () => {
          const order = { do: 'lead-many', client: 'c', prefix: 'ours/', count, ttlSeconds: 60 } as const;
          oursMs.push((await ours.tell(order)).ms);
        });
      }
      await using go = await goActor(hosts);
      if (go === undefined) continue;
      await go.tell({ do: 'connect', client: 'c', hosts });
      goMs.push((await go.tell({ do: 'lead-many', client: 'c', prefix: 'go/', count, ttlSeconds: 60 })).ms);
    }
    byCount[count] = {
      oursMs,
      bareMs,
      goMs,
      ratio: median(oursMs.map((ms, index) => ms / bareMs[index]!)),
      calls,
    };
  }
  return { byCount };
}
