/**
 * The model of three members alone: raft's guarantees hold under random faults, and each defect's switch has its
 * effect.
 */
import { describe, expect, test } from 'vitest';
import { ModelTime } from '../differential/model-time.ts';
import { stream } from '../process/random.ts';
import {
  Cluster,
  defectsOf,
  type ClusterOptions,
  type Defects,
  type EtcdRefusal,
  type Member,
  type Random,
} from './cluster.ts';
import { raw, type Raw } from './wire.ts';

function start(seed: number, options: Partial<ClusterOptions> = {}): World {
  const time = new ModelTime();
  const cluster = new Cluster({ scheduler: time, random: stream(seed, ''), ...options });
  const world = new World(time, cluster);
  world.elected();
  return world;
}

/** A new leader's first entry is committed, and all members have started. */
const SETTLE_MS = 50;

class World {
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

const eventsIn = (messages: readonly Raw[]): string[] =>
  messages.flatMap(({ events }) =>
    (events as { type: string; kv: { mod_revision: string } }[]).map(
      ({ type, kv }) => `${type} ${kv.mod_revision}`,
    ),
  );

const termIn = (response: Raw): number => Number(raw(response['header'])['raft_term']);

describe('three members', () => {
  test('elect a leader in term 2 and serve the same data', () => {
    const world = start(1);
    const [first, second, third] = world.cluster.members;
    expect(world.put(first!, 'a', '1')).toBe(2);
    for (const member of [first!, second!, third!]) expect(world.get(member, 'a')).toBe('1');
    expect(termIn(world.call(second!, 'status', {}))).toBe(2);
  });

  test('replace a killed leader in a later term; it restarts with its data', () => {
    const world = start(2);
    const old = world.cluster.leader!;
    world.put(old, 'a', '1');
    old.kill();
    const next = world.elected(old);
    expect(next.raftTerm).toBeGreaterThan(2);
    world.put(next, 'a', '2');
    old.start();
    expect(world.get(old, 'a')).toBe('2');
    expect(termIn(world.call(old, 'status', {}))).toBe(next.raftTerm);
  });

  test('without a quorum delay writes and reads by seven seconds, and answer a serializable read', () => {
    const world = start(3);
    const leader = world.cluster.leader!;
    world.put(leader, 'a', '1');
    for (const follower of world.followers) follower.kill();
    const sinceMs = world.time.now();
    expect(() => world.put(leader, 'a', '2')).toThrow('etcdserver: request timed out');
    expect(world.time.now() - sinceMs).toBeCloseTo(7_000, -2);
    expect(() => world.get(leader, 'a')).toThrow('etcdserver: request timed out');
    expect(world.get(leader, 'a', { serializable: true })).toBe('1');
  });

  test('end the term of a leader that hears no member, or that no member hears', () => {
    for (const only of ['hears', 'says'] as const) {
      const world = start(4);
      const old = world.cluster.leader!;
      world.cluster.isolate(old, only);
      const next = world.elected(old);
      expect(next).not.toBe(old);
      world.time.runFor(2_500);
      expect(old.isLeader).toBe(false);
    }
  });

  test('revoke an unrenewed lease within one scan and one change of leader', () => {
    const world = start(5);
    const old = world.cluster.leader!;
    const [watcher] = world.followers;
    world.call(old, 'leaseGrant', { ID: '7', TTL: 5 });
    world.put(old, 'a', '1', '7');
    world.time.runFor(50);
    const messages = world.watch(watcher!, { key: Buffer.from('a'), watch_id: 1 });
    old.kill();
    world.elected(old);
    const promotedMs = world.time.now() - SETTLE_MS;
    world.time.runUntilTrue(() => eventsIn(messages).length > 0);
    expect(world.time.now() - promotedMs).toBeGreaterThan(6_000);
    expect(world.time.now() - promotedMs).toBeLessThan(6_600);
    expect(eventsIn(messages)).toEqual(['Delete 3']);
  });

  test('send a lagging member a snapshot with newer data under an older term', () => {
    const world = start(6, { snapshotCount: 10, catchUpEntries: 5 });
    const [first] = world.followers;
    const messages = world.watch(first!, { key: Buffer.from('a'), watch_id: 1 });
    world.time.runFor(10);
    world.cluster.isolate(first!);
    world.cluster.leader!.kill();
    const other = world.cluster.members.find((member) => member.isUp && member !== first)!;
    world.cluster.members.find((member) => !member.isUp)!.start();
    world.time.runUntilTrue(() => world.cluster.leader !== undefined && world.cluster.leader !== first);
    for (let i = 0; i < 40; i++) world.put(other, 'a', String(i));
    world.cluster.heal();
    world.time.runUntilTrue(() => first!.appliedIndex >= other.appliedIndex);
    world.time.runFor(300);
    expect(world.get(first!, 'a', { serializable: true })).toBe('39');
    expect(eventsIn(messages)).toHaveLength(40);
  });

  test('begin at revision 1 after a wipe, and at the backup after a restore', () => {
    const world = start(7);
    const [first] = world.cluster.members;
    world.put(first!, 'a', '1');
    const backup = world.cluster.snapshot();
    world.put(first!, 'a', '2');
    world.cluster.wipe();
    world.elected();
    expect(world.get(first!, 'a')).toBeUndefined();
    world.cluster.restore(backup, { bumpRevision: 1_000 });
    world.elected();
    expect(world.get(first!, 'a')).toBe('1');
    expect(world.put(first!, 'a', '3')).toBe(1_003);
  });

  test('discard messages from before a wipe', () => {
    const world = start(7);
    for (let count = 0; count < 3; count++) {
      const { leader } = world.cluster;
      leader!.kill();
      world.elected(leader);
      leader!.start();
    }
    const leader = world.elected();
    const { raftTerm } = leader;
    world.cluster.isolate(leader);
    world.time.runFor(4_000); // it keeps trying to reach the others
    world.cluster.heal();
    world.cluster.wipe();
    world.time.runFor(10_000);
    for (const member of world.cluster.members) expect(member.raftTerm).toBeLessThan(raftTerm);
  });

  test('let a learner serve only reads that may be stale', () => {
    const world = start(8, { members: 4, learners: 1 });
    const learner = world.cluster.members[3]!;
    world.put(world.cluster.leader!, 'a', '1');
    world.time.runFor(50);
    expect(world.get(learner, 'a', { serializable: true })).toBe('1');
    expect(() => world.get(learner, 'a')).toThrow('etcdserver: rpc not supported for learner');
  });
});

/** One fault after another on random members, with writes in between. Acknowledged writes must stay. */
function shake(
  world: World,
  random: Random,
  steps: number,
): Map<string, { value: string; revision: number }> {
  const acknowledged = new Map<string, { value: string; revision: number }>();
  const { cluster, time } = world;
  const pick = (): Member => cluster.members[Math.floor(random() * cluster.members.length)]!;
  const faults: ((member: Member) => void)[] = [
    (member) => member.kill(),
    (member) => member.start(),
    (member) => member.start(),
    (member) => member.freeze(),
    (member) => member.thaw(),
    (member) => member.thaw(),
    (member) => member.hangDisk(random() * 4_000),
    (member) => cluster.cut(member, pick(), random() < 0.5),
    (member) => cluster.isolate(member),
    () => cluster.heal(),
    () => cluster.heal(),
    (member) => member.setClockRate(0.92 + random() * 0.16),
  ];
  for (let step = 0; step < steps; step++) {
    faults[Math.floor(random() * faults.length)]!(pick());
    for (let writes = 0; writes < 5; writes++) {
      const key = `k${Math.floor(random() * 8)}`;
      const value = `${step}.${writes}`;
      pick().unary('put', { key: Buffer.from(key), value: Buffer.from(value) }, (error, response) => {
        if (error !== null) return;
        const revision = Number(raw(raw(response)['header'])['revision']);
        if (revision > (acknowledged.get(key)?.revision ?? 0)) acknowledged.set(key, { value, revision });
      });
      time.runFor(random() * 300);
    }
  }
  cluster.heal();
  for (const member of cluster.members) {
    member.thaw();
    member.start();
  }
  time.runFor(20_000);
  return acknowledged;
}

test.for([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])('keep on all members what etcd acknowledged: seed %i', (seed) => {
  const world = start(seed, { snapshotCount: 40, catchUpEntries: 10, preVote: seed % 2 === 0 });
  const acknowledged = shake(world, stream(seed + 100, ''), 200);
  expect(acknowledged.size).toBe(8);
  const range = { key: Buffer.from('k'), range_end: Buffer.from('l'), serializable: true };
  const [first, ...others] = world.cluster.members.map((member) => world.call(member, 'range', range));
  for (const { kvs, header } of others) {
    expect(kvs).toEqual(first!['kvs']);
    expect(raw(header)['revision']).toBe(raw(first!['header'])['revision']);
  }
  for (const { key, value, mod_revision } of first!['kvs'] as {
    key: Buffer;
    value: Buffer;
    mod_revision: string;
  }[]) {
    const known = acknowledged.get(key.toString())!;
    // A write that timed out may have happened after the last acknowledged one.
    if (Number(mod_revision) <= known.revision) expect(value.toString()).toBe(known.value);
    expect(Number(mod_revision)).toBeGreaterThanOrEqual(known.revision);
  }
});

describe('a defect', () => {
  /** A key is deleted in revision 3, and the history is compacted exactly there. */
  const watchedFromCompaction = (defects: Partial<Defects>, isRestarted = false): string[] => {
    const world = start(1, { members: 1, defects });
    const [member] = world.cluster.members;
    world.put(member!, 'a', '1');
    world.call(member!, 'deleteRange', { key: Buffer.from('a') });
    world.call(member!, 'compact', { revision: 3 });
    if (isRestarted) member!.kill();
    member!.start();
    const messages = world.watch(member!, { key: Buffer.from('a'), watch_id: 1, start_revision: 3 });
    world.time.runUntilTrue(() => member!.isReady);
    world.time.runFor(200);
    return eventsIn(messages);
  };

  test('drops a delete at the compact revision', () => {
    expect(watchedFromCompaction({})).toEqual(['Delete 3']);
    expect(watchedFromCompaction({ compactionDropsDelete: true })).toEqual([]);
  });

  test('drops that delete at a restart', () => {
    expect(watchedFromCompaction({}, true)).toEqual(['Delete 3']);
    expect(watchedFromCompaction({ restartDropsDelete: true })).toEqual(['Delete 3']);
    expect(watchedFromCompaction({ restartDropsDelete: true }, true)).toEqual([]);
  });

  /** A watch that is not read falls behind a compaction. */
  const starved = (defects: Partial<Defects>): Raw[] => {
    const world = start(2, { members: 1, defects });
    const [member] = world.cluster.members;
    const messages = world.watch(member!, { key: Buffer.from('a'), watch_id: 1 });
    world.time.runFor(10);
    member!.starveWatches(1_000);
    for (const value of ['1', '2', '3']) world.put(member!, 'a', value);
    world.call(member!, 'compact', { revision: 4 });
    world.time.runFor(2_000);
    return messages.slice(1);
  };

  test('continues after a compaction as if no event were missing', () => {
    expect(starved({}).map(({ compact_revision }) => compact_revision)).toEqual(['4']);
    expect(starved({ skipsCompactedEvents: true })).toEqual([]);
  });

  test('confirms progress while events are in transit', () => {
    for (const progressOutOfStep of [false, true]) {
      const world = start(3, { members: 1, defects: { progressOutOfStep } });
      const [member] = world.cluster.members;
      world.put(member!, 'a', '1');
      const ids: unknown[] = [];
      const stream = member!.stream('watch', {
        data: (message) => ids.push(raw(message)['watch_id']),
        end: () => undefined,
      });
      stream.write({ create_request: { key: Buffer.from('a'), watch_id: 1, start_revision: 1 } });
      stream.write({ progress_request: {} });
      world.time.runFor(200);
      expect(ids).toEqual(progressOutOfStep ? ['1', '-1', '1'] : ['1', '1']);
    }
  });

  /** The disk of a leader hangs while the others elect another one. */
  const stuckLeader = (defects: Partial<Defects>): { world: World; old: Member; next: Member } => {
    const world = start(4, { defects });
    const old = world.cluster.leader!;
    world.call(old, 'leaseGrant', { ID: '7', TTL: 4 });
    world.put(old, 'a', '1', '7');
    world.time.runFor(50);
    old.hangDisk(20_000);
    old.unary('put', { key: Buffer.from('b'), value: Buffer.from('1') }, () => undefined);
    world.time.runUntilTrue(() => world.followers.some((member) => member.isLeader));
    world.time.runFor(SETTLE_MS);
    const next = world.cluster.members.find((member) => member !== old && member.isLeader)!;
    return { world, old, next };
  };

  test('lets a leader whose disk hangs acknowledge renewals that its successor does not know of', () => {
    for (const deposedLeaderRenews of [false, true]) {
      const { world, old } = stuckLeader({ deposedLeaderRenews });
      const { answers } = world.keepAlive(old, '7');
      world.time.runFor(1_000);
      expect(answers).toEqual(deposedLeaderRenews ? ['4'] : []);
    }
  });

  test('lets a formerly stuck leader revoke a lease that its successor has renewed', () => {
    for (const lateRevokes of [false, true]) {
      const { world, next } = stuckLeader({ lateRevokes });
      const untilMs = world.time.now() + 25_000;
      while (world.time.now() < untilMs) {
        world.keepAlive(next, '7');
        world.time.runFor(500);
      }
      expect(world.get(next, 'a')).toBe(lateRevokes ? undefined : '1');
    }
  });

  test('answers linearizable reads of a thawed member from old data', () => {
    const staleFor = (staleReads: boolean): number => {
      let stale = 0;
      for (let seed = 1; seed <= 10; seed++) {
        const world = start(seed, { defects: { staleReads } });
        const old = world.cluster.leader!;
        old.freeze();
        const next = world.elected(old);
        world.put(next, 'a', '1');
        old.thaw();
        old.unary('range', { key: Buffer.from('a') }, (error, response) => {
          if (error === null && (raw(response)['kvs'] as unknown[]).length === 0) stale++;
        });
        world.time.runFor(1_000);
      }
      return stale;
    };
    expect(staleFor(false)).toBe(0);
    expect(staleFor(true)).toBeGreaterThan(0);
  });

  /** A follower with a watch is cut off for so long that it needs a snapshot. */
  const sentSnapshot = (defects: Partial<Defects>, start_revision: number): string[] => {
    const world = start(5, { snapshotCount: 10, catchUpEntries: 5, defects });
    const [first, second] = world.followers;
    world.put(second!, 'a', '1');
    world.time.runFor(50);
    const messages = world.watch(first!, { key: Buffer.from('a'), watch_id: 1, start_revision });
    world.time.runFor(50);
    world.put(second!, 'a', '2');
    world.time.runFor(50);
    world.cluster.isolate(first!);
    for (let i = 0; i < 40; i++) world.put(second!, 'b', '1');
    world.time.runFor(6_000);
    world.cluster.heal();
    world.time.runFor(3_000);
    world.put(second!, 'a', '3');
    world.time.runFor(500);
    return eventsIn(messages);
  };

  test('repeats known events to a watch after a snapshot', () => {
    expect(sentSnapshot({}, 0)).toEqual(['Put 3', 'Put 44']);
    expect(sentSnapshot({ snapshotRepeatsEvents: true }, 0)).toEqual(['Put 3', 'Put 3', 'Put 44']);
  });

  test('forgets after a snapshot that a watch begins in the future', () => {
    expect(sentSnapshot({}, 1_000)).toEqual([]);
    expect(sentSnapshot({ snapshotForgetsFutureStart: true }, 1_000)).toEqual(['Put 44']);
  });
});

test('exists in each version whose changelog mends it later', () => {
  expect(defectsOf('3.4.23')).toMatchObject({
    deposedLeaderRenews: true,
    staleReads: true,
    progressOutOfStep: true,
  });
  expect(defectsOf('3.5.16')).toMatchObject({
    deposedLeaderRenews: false,
    staleReads: true,
    progressOutOfStep: false,
  });
  expect(defectsOf('3.5.30')).toMatchObject({ staleReads: false, restartDropsDelete: false });
});
