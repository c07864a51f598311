/** A model of etcd that a test drives call by call, in its own time. */
import { ModelTime } from '../differential/model-time.ts';
import { stream } from '../process/random.ts';
import { Cluster, type ClusterOptions, type EtcdRefusal, type Member } from './cluster.ts';
import { raw, type Raw } from './wire.ts';

export function start(seed: number, options: Partial<ClusterOptions> = {}): World {
  const time = new ModelTime();
  const cluster = new Cluster({ scheduler: time, random: stream(seed, ''), ...options });
  const world = new World(time, cluster);
  world.elected();
  return world;
}

/** A new leader's first entry is committed, and all members have started. */
export const SETTLE_MS = 50;

export class World {
  readonly time: ModelTime;
  readonly cluster: Cluster;

  constructor(time: ModelTime, cluster: Cluster) {
    this.time = time;
    this.cluster = cluster;
  }

  get followers(): readonly Member[] {
    return this.cluster.members.filter((member) => member !== this.cluster.leader);
  }

  /** Waits for a leader other than `than` that can write. */
  elected(than?: Member): Member {
    const isThere = (): boolean => {
      const { leader } = this.cluster;
      return leader !== undefined && leader !== than && !leader.isFrozen;
    };
    this.time.runUntilTrue(isThere);
    this.time.runFor(SETTLE_MS);
    return this.cluster.leader!;
  }

  /** @throws {Error} with etcd's text if it refuses. */
  call(member: Member, method: string, request: Raw): Raw {
    let outcome: { error: EtcdRefusal | null; response: Raw } | undefined;
    member.unary(method, request, (error, response) => {
      outcome = { error, response: raw(response) };
    });
    this.time.runUntilTrue(() => outcome !== undefined);
    if (outcome!.error !== null) throw new Error(outcome!.error.message);
    return outcome!.response;
  }

  put(member: Member, key: string, value: string, lease = '0'): number {
    const response = this.call(member, 'put', { key: Buffer.from(key), value: Buffer.from(value), lease });
    return Number(raw(response['header'])['revision']);
  }

  get(member: Member, key: string, more: Raw = {}): string | undefined {
    const { kvs } = this.call(member, 'range', { key: Buffer.from(key), ...more });
    return (kvs as { value: Buffer }[])[0]?.value.toString();
  }

  watch(member: Member, request: Raw): Raw[] {
    const messages: Raw[] = [];
    const stream = member.stream('watch', {
      data: (message) => messages.push(message as Raw),
      end: () => undefined,
    });
    stream.write({ create_request: request });
    return messages;
  }

  keepAlive(member: Member, ID: string): { answers: string[]; refusals: string[] } {
    const answers: string[] = [];
    const refusals: string[] = [];
    const stream = member.stream('leaseKeepAlive', {
      data: (message) => answers.push((message as { TTL: string }).TTL),
      end: (error) => refusals.push(error?.message ?? ''),
    });
    stream.write({ ID });
    return { answers, refusals };
  }
}

export const eventsIn = (messages: readonly Raw[]): string[] =>
  messages.flatMap(({ events }) =>
    (events as { type: string; kv: { mod_revision: string } }[]).map(
      ({ type, kv }) => `${type} ${kv.mod_revision}`,
    ),
  );

export const termIn = (response: Raw): number => Number(raw(response['header'])['raft_term']);
