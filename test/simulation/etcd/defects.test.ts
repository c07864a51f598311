/** The switch of each known defect of etcd has its effect on the model of its members. */
import { describe, expect, test } from 'vitest';
import { defectsOf, type Defects, type Member } from './cluster.ts';
import { raw, type Raw } from './wire.ts';
import { eventsIn, SETTLE_MS, start, type World } from './driven-cluster.ts';

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
  expect(defectsOf('3.6.14')).toMatchObject({ staleReads: false, keysOnlyWithoutLease: false });
  expect(defectsOf('3.7.1')).toMatchObject({ staleReads: false, keysOnlyWithoutLease: true });
});
