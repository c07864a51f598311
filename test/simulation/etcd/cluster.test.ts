/** The model of three members alone: raft's guarantees hold under random faults. */
import { describe, expect, test } from 'vitest';
import { stream } from '../process/random.ts';
import type { Member, Random } from './cluster.ts';
import { raw } from './wire.ts';
import { eventsIn, SETTLE_MS, start, termIn, type World } from './driven-cluster.ts';

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
