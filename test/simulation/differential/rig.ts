/** Three members under faults, real or modelled, with one interface for scenarios. */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { EtcdCluster } from '../../../src/dev/index.ts';
import { Cluster, defectsOf } from '../etcd/cluster.ts';
import { raw, type Raw } from '../etcd/wire.ts';
import { modelStream, realMember, type Outcome, type Stream, type Subject } from './subject.ts';
import { stream } from '../process/random.ts';
import { ModelTime } from './model-time.ts';
import { waitFor } from './wait.ts';

export interface RigMember extends Subject {
  kill(): Promise<void>;
  start(): Promise<void>;
  freeze(): void;
  thaw(): void;
  /** Partitions it from the other members; clients still reach it. */
  isolate(): void;
  rejoin(): void;
}

export interface Rig {
  readonly members: readonly RigMember[];
  now(): number;
  pause(ms: number): Promise<void>;
  /** Waits for an action of the members. */
  join<T>(promise: Promise<T>): Promise<T>;
  close(): void;
}

export function realRig(etcd: EtcdCluster): Rig {
  const members = etcd.members.map((member): RigMember => {
    const subject = realMember(member.endpoint);
    return {
      ...subject,
      kill: () => member.kill(),
      start: () => member.start(),
      freeze: () => member.freeze(),
      thaw: () => member.thaw(),
      isolate: () => member.isolate(),
      rejoin: () => member.rejoin(),
    };
  });
  return {
    members,
    now: () => performance.now(),
    pause: (ms) => sleep(ms),
    join: (promise) => promise,
    close: () => members.forEach((member) => member.close()),
  };
}

const TURN_MS = 5;

export function modelRig(version: string, seed: number): Rig {
  const time = new ModelTime();
  const cluster = new Cluster({
    scheduler: time,
    random: stream(seed, ''),
    defects: { ...defectsOf(version), staleReads: false }, // a race that no scenario can force
    version,
    preVote: !version.startsWith('3.4.'),
  });
  const nowMs = (): number => time.now();
  const pause = async (): Promise<void> => {
    time.runFor(TURN_MS);
    await nextTurn();
  };
  const pump = async <T>(promise: Promise<T>): Promise<T> => {
    let isOver = false;
    const end = (): void => {
      isOver = true;
    };
    promise.then(end, end);
    await nextTurn();
    await waitFor('the model: the end of an action', () => isOver, { nowMs, pause });
    return await promise;
  };
  time.runUntilTrue(() => cluster.members.every(({ isReady }) => isReady));
  const members = cluster.members.map((member): RigMember => ({
    unary: (method, request) =>
      new Promise<Outcome>((resolve) =>
        member.unary(method, request, (refusal, response) =>
          resolve(refusal === null ? { response: response! } : { refusal }),
        ),
      ),
    stream: (method) => Promise.resolve(modelStream(member, method)),
    close: () => undefined,
    kill: () => Promise.resolve(member.kill()),
    start: async () => {
      member.start();
      await waitFor('the model: a started member is ready', () => member.isReady, { nowMs, pause });
    },
    freeze: () => member.freeze(),
    thaw: () => member.thaw(),
    isolate: () => cluster.isolate(member),
    rejoin: () => cluster.heal(member),
  }));
  return {
    members,
    now: () => time.now(),
    pause: async (ms) => {
      time.runFor(ms);
      await nextTurn();
    },
    join: pump,
    close: () => undefined,
  };
}

/** Helpers that many scenarios use. */
export class Play {
  readonly rig: Rig;

  constructor(rig: Rig) {
    this.rig = rig;
  }

  /** A response, or etcd's error text and the duration of the call. */
  async ask(member: RigMember, method: string, request: object): Promise<Raw> {
    const sinceMs = this.rig.now();
    const outcome = await this.rig.join(member.unary(method, request));
    if ('response' in outcome) return raw(outcome.response);
    return { ...outcome.refusal, afterMs: this.rig.now() - sinceMs };
  }

  put(member: RigMember, key: string, value: string, lease = '0'): Promise<Raw> {
    return this.ask(member, 'put', { key: Buffer.from(key), value: Buffer.from(value), lease });
  }

  /** The value, or etcd's error text. */
  async get(member: RigMember, key: string, serializable = false): Promise<unknown> {
    const { kvs, ...rest } = await this.ask(member, 'range', { key: Buffer.from(key), serializable });
    return kvs === undefined ? rest : (kvs as { value: Buffer }[]).map(({ value }) => value.toString());
  }

  async term(member: RigMember): Promise<number> {
    const { raftTerm } = await this.ask(member, 'status', {});
    return Number(raftTerm);
  }

  /** Waits until one of them reports that it leads, and all of them agree. */
  async leader(among: readonly RigMember[] = this.rig.members): Promise<RigMember> {
    for (let tries = 0; tries < 400; tries++) {
      const said = await Promise.all(among.map((member) => this.ask(member, 'status', {})));
      const leads = new Set(said.map(({ leader }) => leader));
      const at = said.findIndex(({ leader, header }) => leader === raw(header)['member_id']);
      if (leads.size === 1 && at >= 0) return among[at]!;
      await this.rig.pause(50);
    }
    throw new Error('nobody leads');
  }

  /** Waits until a member knows no leader. */
  async leaderless(member: RigMember): Promise<void> {
    for (let tries = 0; tries < 400; tries++) {
      if ((await this.ask(member, 'status', {}))['leader'] === '0') return;
      await this.rig.pause(50);
    }
    throw new Error('it still has a leader');
  }

  /** Waits until a member has applied a write. */
  async applied(member: RigMember, key: string, value: string): Promise<void> {
    for (let tries = 0; tries < 400; tries++) {
      if (String(await this.get(member, key, true)) === value) return;
      await this.rig.pause(10);
    }
    throw new Error(`${key} is not ${value}`);
  }

  others(than: RigMember): RigMember[] {
    return this.rig.members.filter((member) => member !== than);
  }

  async until(isTrue: () => boolean, withinMs = 20_000): Promise<number> {
    const sinceMs = this.rig.now();
    while (!isTrue()) {
      if (this.rig.now() - sinceMs > withinMs)
        throw new Error(`not within ${withinMs} ms: ${isTrue.toString()}`);
      await this.rig.pause(10);
    }
    return this.rig.now() - sinceMs;
  }

  async watch(member: RigMember, key: string, start = '0'): Promise<Stream> {
    const stream = await this.rig.join(member.stream('watch'));
    stream.write({ create_request: { key: Buffer.from(key), watch_id: 1, start_revision: start } });
    await this.until(() => stream.received.length > 0);
    return stream;
  }

  /** @returns the TTL in the answer; or how the stream ended, and after how long. */
  async renew(member: RigMember, ID: string): Promise<unknown> {
    const sinceMs = this.rig.now();
    const stream = await this.rig.join(member.stream('leaseKeepAlive'));
    stream.write({ ID });
    await this.until(() => stream.received.length > 0 || stream.ended() !== undefined);
    const afterMs = this.rig.now() - sinceMs;
    const ended = stream.ended();
    stream.cancel();
    return ended === undefined ? raw(stream.received[0])['TTL'] : { ...ended, afterMs };
  }
}

export const eventsOf = ({ received }: Stream): string[] =>
  received.flatMap((message) =>
    (raw(message)['events'] as { type: string; kv: { mod_revision: string; value: Buffer } }[]).map(
      ({ type, kv }) => `${type} ${kv.mod_revision} ${kv.value.toString()}`,
    ),
  );
