/**
 * The model of three members against three real ones: the same scenarios of kills, freezes and partitions are played on
 * both, and tell the same story. What real time makes uncertain is not part of the story; its bounds hold for both.
 */
import { expect, test } from 'vitest';
import { startEtcd } from '../../src/dev/index.ts';
import { eventsOf, modelRig, Play, realRig, type Rig } from './differential/rig.ts';

/** How much later than planned a busy machine does what etcd has planned, in milliseconds. */
const LATE_MS = 2_000;

type Scenario = (play: Play, lateMs: number) => Promise<unknown>;

const scenarios: Record<string, Scenario> = {
  'a killed leader is replaced in a later term, which its headers show when it is back': async (play) => {
    const old = await play.leader();
    const before = await play.term(old);
    await play.put(old, 'a', '1');
    await old.kill();
    const rest = play.others(old);
    const next = await play.leader(rest);
    const put = await play.put(next, 'a', '2');
    const after = await play.term(next);
    await old.start();
    const read = await play.get(old, 'a');
    return {
      put,
      isLater: after > before,
      read,
      isShown: (await play.term(old)) === (await play.term(rest[0]!)),
    };
  },

  'a lease that is not renewed ends after its TTL and before the second scan': async (play, lateMs) => {
    const leader = await play.leader();
    const [follower] = play.others(leader);
    const grant = await play.ask(follower!, 'leaseGrant', { ID: '7', TTL: 1 });
    await play.put(leader, 'a', '1', '7');
    await play.rig.pause(300);
    const watch = await play.watch(follower!, 'a');
    const sinceMs = play.rig.now();
    const renewed = await play.renew(follower!, '7');
    await play.until(() => eventsOf(watch).length > 0);
    const lastedMs = play.rig.now() - sinceMs;
    expect(lastedMs).toBeGreaterThan(1_990);
    expect(lastedMs).toBeLessThan(2_600 + lateMs);
    return { grant, renewed, events: eventsOf(watch), gone: await play.renew(leader, '7') };
  },

  'a new leader lets leases last for their TTL and an election more': async (play, lateMs) => {
    const old = await play.leader();
    const [first] = play.others(old);
    await play.ask(old, 'leaseGrant', { ID: '7', TTL: 3 });
    await play.put(old, 'a', '1', '7');
    await play.rig.pause(300);
    const watch = await play.watch(first!, 'a');
    await old.kill();
    const sinceMs = play.rig.now();
    await play.until(() => eventsOf(watch).length > 0);
    const lastedMs = play.rig.now() - sinceMs;
    // An election begins one to two seconds after the last heartbeat, and takes its votes.
    expect(lastedMs).toBeGreaterThan(900 + 1_000 + 3_000);
    expect(lastedMs).toBeLessThan(2_000 + 1_000 + 3_000 + 600 + 2_000 + lateMs);
    return eventsOf(watch);
  },

  'a follower that is cut off refuses what needs a leader, and shows old data': async (play) => {
    const leader = await play.leader();
    const [cut, other] = play.others(leader);
    await play.ask(leader, 'leaseGrant', { ID: '7', TTL: 60 });
    await play.put(leader, 'a', '1');
    await play.rig.pause(300);
    const watch = await play.watch(cut!, 'a');
    cut!.isolate();
    await play.put(leader, 'a', '2');
    await play.put(other!, 'a', '3');
    await play.rig.pause(2_500); // it has lost its leader
    const [read, written, renewed, left, old] = await play.rig.join(
      Promise.all([
        play.get(cut!, 'a'),
        play.put(cut!, 'a', '4'),
        play.renew(cut!, '7'),
        play.ask(cut!, 'leaseTimeToLive', { ID: '7' }),
        play.get(cut!, 'a', true),
      ]),
    );
    const events = eventsOf(watch);
    cut!.rejoin();
    await play.until(() => eventsOf(watch).length > 1);
    return {
      read,
      written,
      renewed,
      left,
      old,
      events,
      later: eventsOf(watch),
      healed: await play.get(cut!, 'a'),
    };
  },

  'a leader that is cut off acknowledges renewals until it steps down, and no write': async (play) => {
    const old = await play.leader();
    const rest = play.others(old);
    await play.ask(old, 'leaseGrant', { ID: '7', TTL: 60 });
    await play.put(old, 'a', '1');
    old.isolate();
    const renewed = await play.renew(old, '7');
    const written = play.put(old, 'a', '2');
    const next = await play.leader(rest);
    await play.put(next, 'a', '3');
    const refused = await play.rig.join(written);
    const stale = await play.get(old, 'a', true);
    old.rejoin();
    await play.leader();
    return { renewed, code: refused['code'], stale, healed: await play.get(old, 'a') };
  },

  'without a quorum a member says so': async (play) => {
    const leader = await play.leader();
    const [first, second] = play.others(leader);
    await play.ask(leader, 'leaseGrant', { ID: '7', TTL: 60 });
    await play.put(leader, 'a', '1');
    await play.rig.pause(300);
    await Promise.all([first!.kill(), second!.kill()]);
    await play.rig.pause(2_500);
    const { errors, leader: led } = await play.ask(leader, 'status', {});
    const [read, written, granted, renewed] = await play.rig.join(
      Promise.all([
        play.get(leader, 'a'),
        play.put(leader, 'a', '2'),
        play.ask(leader, 'leaseGrant', { ID: '8', TTL: 60 }),
        play.renew(leader, '7'),
      ]),
    );
    return { errors, led, read, written, granted, renewed, old: await play.get(leader, 'a', true) };
  },

  'a frozen leader is replaced, and takes the later term when it is thawed': async (play) => {
    const old = await play.leader();
    const before = await play.term(old);
    const rest = play.others(old);
    old.freeze();
    const next = await play.leader(rest);
    await play.put(next, 'a', '1');
    old.thaw();
    await play.rig.pause(1_000); // a read that meets the news is refused: "leader changed"
    const read = await play.get(old, 'a');
    await play.leader();
    const after = await play.term(old);
    return { read, isLater: after > before, isShown: after === (await play.term(next)) };
  },

  'after all were killed, data, revisions and leases are there again, in a later term': async (play) => {
    const leader = await play.leader();
    const before = await play.term(leader);
    await play.ask(leader, 'leaseGrant', { ID: '7', TTL: 60 });
    await play.put(leader, 'a', '1', '7');
    await play.rig.pause(500);
    await Promise.all(play.rig.members.map((member) => member.kill()));
    const starts = play.rig.members.map((member) => member.start());
    await play.rig.join(Promise.all(starts));
    const next = await play.leader();
    const put = await play.put(next, 'b', '2');
    return { put, renewed: await play.renew(next, '7'), isLater: (await play.term(next)) > before };
  },
};

/** Answers without what differs from cluster to cluster. */
const withoutNames = (story: unknown): unknown =>
  JSON.parse(
    JSON.stringify(story, (name, value: unknown) =>
      ['cluster_id', 'member_id', 'raft_term'].includes(name) ? undefined : value,
    ),
  );

async function story(rig: Rig, scenario: Scenario, lateMs: number): Promise<unknown> {
  try {
    return withoutNames(await scenario(new Play(rig), lateMs));
  } finally {
    rig.close();
  }
}

test.for(Object.keys(scenarios))('%s', { timeout: 120_000 }, async (name) => {
  await using etcd = await startEtcd({ members: 3, peerNetwork: true });
  const scenario = scenarios[name]!;
  const real = await story(realRig(etcd), scenario, LATE_MS);
  for (const seed of [1, 2, 3, 4, 5])
    expect(await story(modelRig(etcd.version, seed), scenario, 0)).toEqual(real);
});
