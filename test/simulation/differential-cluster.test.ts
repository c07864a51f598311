/**
 * The model of three members against three real ones. The same scenarios of kills, freezes and partitions run on
 * both and give the same story. Details that real time makes uncertain are not part of the story; their bounds
 * hold for both.
 */
import { expect, test } from 'vitest';
import { startEtcd } from '../../src/dev/index.ts';
import { nowMs } from '../faults/lab/history.ts';
import { MachineNoise } from '../faults/lab/machine-noise.ts';
import { fastFolder } from './differential/fast-folder.ts';
import { eventsOf, modelRig, Play, realRig, type Rig } from './differential/rig.ts';

/** How late a busy machine may run what etcd has scheduled, in milliseconds. */
const LATE_MS = 2_000;

type Scenario = (play: Play, lateMs: number) => Promise<unknown>;

const scenarios: Record<string, Scenario> = {
  'a killed leader is replaced in a later term, which its headers show after its return': async (play) => {
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
    await play.applied(follower!, 'a', '1');
    const watch = await play.watch(follower!, 'a');
    const sinceMs = play.rig.now();
    const renewed = await play.renew(follower!, '7');
    await play.until(() => eventsOf(watch).length > 0);
    const lastedMs = play.rig.now() - sinceMs;
    expect(lastedMs).toBeGreaterThan(1_990);
    expect(lastedMs).toBeLessThan(2_600 + lateMs);
    return { grant, renewed, events: eventsOf(watch), gone: await play.renew(leader, '7') };
  },

  'a new leader extends leases by the duration of an election': async (play, lateMs) => {
    const old = await play.leader();
    const [first] = play.others(old);
    await play.ask(old, 'leaseGrant', { ID: '7', TTL: 3 });
    await play.put(old, 'a', '1', '7');
    await play.applied(first!, 'a', '1');
    const watch = await play.watch(first!, 'a');
    const sinceMs = play.rig.now();
    await old.kill();
    await play.until(() => eventsOf(watch).length > 0);
    const lastedMs = play.rig.now() - sinceMs;
    // An election begins one to two seconds after the last heartbeat, and takes some time. A busy machine delays that heartbeat.
    expect(lastedMs).toBeGreaterThan(900 - Math.min(lateMs, 500) + 1_000 + 3_000);
    expect(lastedMs).toBeLessThan(2_000 + 1_000 + 3_000 + 600 + 2_000 + lateMs);
    return eventsOf(watch);
  },

  'a partitioned follower refuses requests that need a leader, and serves old data': async (play) => {
    const leader = await play.leader();
    const [cut, other] = play.others(leader);
    await play.ask(leader, 'leaseGrant', { ID: '7', TTL: 60 });
    await play.put(leader, 'a', '1');
    await play.applied(cut!, 'a', '1');
    const watch = await play.watch(cut!, 'a');
    cut!.isolate();
    await play.put(leader, 'a', '2');
    await play.put(other!, 'a', '3');
    await play.rig.pause(2_500);
    await play.leaderless(cut!);
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

  'a partitioned leader acknowledges renewals until it steps down, and no write': async (play) => {
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

  'a member without a quorum reports it': async (play) => {
    const leader = await play.leader();
    const [first, second] = play.others(leader);
    await play.ask(leader, 'leaseGrant', { ID: '7', TTL: 60 });
    await play.put(leader, 'a', '1');
    await Promise.all([first!.kill(), second!.kill()]);
    await play.rig.pause(2_500);
    await play.leaderless(leader);
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

  'a frozen leader is replaced, and adopts the later term when it is thawed': async (play) => {
    const old = await play.leader();
    const before = await play.term(old);
    const rest = play.others(old);
    old.freeze();
    const next = await play.leader(rest);
    await play.put(next, 'a', '1');
    old.thaw();
    await play.rig.pause(1_000);
    await play.leader(); // a read that meets the change is refused: "leader changed"
    const read = await play.get(old, 'a');
    await play.leader();
    const after = await play.term(old);
    return { read, isLater: after > before, isShown: after === (await play.term(next)) };
  },

  'after a kill of all members data, revisions and leases return in a later term': async (play) => {
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

interface Story {
  /** Answers without values that differ between clusters. */
  readonly answers: unknown;
  /** How long each refused call took. */
  readonly afterMs: readonly number[];
}

async function story(rig: Rig, scenario: Scenario, lateMs: number): Promise<Story> {
  try {
    const afterMs: number[] = [];
    const text = JSON.stringify(await scenario(new Play(rig), lateMs), (name, value: unknown) => {
      if (name === 'afterMs') afterMs.push(value as number);
      return ['cluster_id', 'member_id', 'raft_term', 'afterMs'].includes(name) ? undefined : value;
    });
    return { answers: JSON.parse(text), afterMs };
  } finally {
    rig.close();
  }
}

/** Stalls of this length can make the real members elect another leader, which changes their story. In milliseconds. */
const STALL_MS = 500;
const TRIES = 3;

/** The same story by the model. */
async function expectSame(version: string, scenario: Scenario, real: Story): Promise<void> {
  for (const seed of [1, 2, 3, 4, 5]) {
    const model = await story(modelRig(version, seed), scenario, 0);
    expect(model.answers).toEqual(real.answers);
    expect(model.afterMs).toHaveLength(real.afterMs.length);
    for (const [at, ms] of model.afterMs.entries()) {
      expect(real.afterMs[at]).toBeGreaterThan(ms - 1_000);
      expect(real.afterMs[at]).toBeLessThan(ms + 1_000 + LATE_MS);
    }
  }
}

/** @returns how long the machine stalled this process during the real story, in milliseconds, and the difference if there is one. */
async function compare(scenario: Scenario): Promise<{ stalledMs: number; difference?: Error }> {
  await using folder = await fastFolder();
  await using etcd = await startEtcd({ members: 3, peerNetwork: true, dataDir: folder.path });
  const noise = new MachineNoise();
  const fromMs = nowMs();
  let stalledMs = 0;
  try {
    const real = await story(realRig(etcd), scenario, LATE_MS).finally(() => {
      stalledMs = noise.within({ fromMs, toMs: nowMs() });
    });
    await expectSame(etcd.version, scenario, real);
    return { stalledMs };
  } catch (error) {
    return { stalledMs, difference: error as Error };
  } finally {
    noise.stop();
    await Promise.all(etcd.members.map((member) => member.kill())); // members that end together on a signal take seconds
  }
}

test.for(Object.keys(scenarios))('%s', { timeout: 120_000 }, async (name) => {
  for (let tries = 1; ; tries++) {
    const { stalledMs, difference } = await compare(scenarios[name]!);
    if (difference === undefined) return;
    if (stalledMs < STALL_MS || tries === TRIES) throw difference;
  }
});
