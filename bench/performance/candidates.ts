/**
 * Hand-over in one election with many candidates. Each has its own client and lease, like a replica. Those that
 * take turns are first in the queue, in two processes; the others wait in a third process.
 */
import { startEtcd } from 'etcd-election/dev';
import { Actor, type Stand } from './company.ts';
import { summary, type Summary } from './figures.ts';
import { callsOf } from './meter.ts';

export interface CandidatesResult {
  readonly byCount: Readonly<
    Record<
      string,
      {
        readonly summary: Summary;
        /** The time from the deletion of a key until one of this many bare clients with a watch reports it. */
        readonly floor: Summary;
        readonly calls: Readonly<Record<string, number>>;
      }
    >
  >;
}

const IN_FRONT = 26;
/** Turns of two candidates that do not count: they make the code of both processes equally warm for all sizes. */
const WARM_UP = 60;
/** Long, so that a thousand keep-alives on one machine do not disturb the measurement. */
const TTL_SECONDS = 120;

export async function candidates(counts: readonly number[], elections: number): Promise<CandidatesResult> {
  const byCount: Record<string, CandidatesResult['byCount'][string]> = {};
  for (const count of counts) {
    await using etcd = await startEtcd();
    await using a = new Actor();
    await using b = new Actor();
    await using crowd = new Actor();
    const actorAt = (place: number): Actor => (place % 2 === 0 ? a : b);
    /**
     * Starts this many candidates.
     * @returns a function that lets the one at a place resign, and returns the duration.
     */
    const lineUp = async (election: string, many: number): Promise<(place: number) => Promise<number>> => {
      const stand = (place: number): Stand => ({
        by: 'ours',
        id: `${election}-${place}`,
        client: `${place}`,
        hosts: etcd.endpoints,
        prefix: 'candidates/',
        election,
        value: `10.0.${place >> 8}.${place & 255}`,
        ttlSeconds: TTL_SECONDS,
      });
      const inFront = Math.min(many, IN_FRONT);
      for (let place = 0; place < inFront; place++) {
        await actorAt(place).tell({ do: 'stand', stands: [stand(place)] });
        await actorAt(place).when(place === 0 ? 'led' : 'queued', stand(place).id);
      }
      const rest = Array.from({ length: many - inFront }, (_, index) => stand(inFront + index));
      for (let from = 0; from < rest.length; from += 50) {
        const some = rest.slice(from, from + 50);
        await crowd.tell({ do: 'stand', stands: some });
        for (const { id } of some) await crowd.when('queued', id);
      }
      return async (place) => {
        const { atMs } = await actorAt(place).tell({ do: 'resign', id: stand(place).id });
        return (await actorAt(place + 1).when('led', stand(place + 1).id)) - atMs;
      };
    };

    for (let number = 0; number < WARM_UP; number++) await (await lineUp(`warm-up-${number}`, 2))(0);
    const samples: number[] = [];
    let calls: Record<string, number> = {};
    // With few candidates, more elections replace the missing turns of each.
    for (let number = 0; number < (count < IN_FRONT ? elections : 1); number++) {
      const turn = await lineUp(`e${number}`, count);
      if (number === 0) calls = await callsOf(etcd.endpoints, () => turn(0));
      else samples.push(await turn(0));
      for (let place = 1; place < Math.min(count, IN_FRONT) - 1; place++) samples.push(await turn(place));
    }
    const floor = await floorOf(count, etcd.endpoints, a, b, crowd);
    byCount[count] = { summary: summary(samples), floor, calls };
  }
  return { byCount };
}

/** This many watches, each on its own client, without an election. */
async function floorOf(
  count: number,
  hosts: readonly string[],
  a: Actor,
  b: Actor,
  crowd: Actor,
): Promise<Summary> {
  await a.tell({ do: 'connect', client: '0', hosts });
  await b.tell({ do: 'connect', client: '1', hosts });
  await b.tell({ do: 'watch', client: '1', prefix: 'floor/' });
  for (let place = IN_FRONT; place < count; place++)
    await crowd.tell({ do: 'watch', client: `${place}`, prefix: 'floor/', silent: true });
  const samples: number[] = [];
  for (let turn = 0; turn < IN_FRONT + WARM_UP; turn++) {
    const key = `floor/${turn}`;
    await a.tell({ do: 'put', client: '0', key });
    const { atMs } = await a.tell({ do: 'delete', client: '0', key });
    samples.push((await b.when('deleted', key)) - atMs);
  }
  return summary(samples.slice(WARM_UP));
}
