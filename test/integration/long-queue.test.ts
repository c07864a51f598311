import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { type EtcdCluster, resetLoopGuards, startEtcd } from 'etcd-election/dev';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import type { Leader } from 'etcd-election';
import { eventually } from '../support/eventually.ts';
import { SOON_MS, test, type CandidateOptions, type TestCandidate } from '../support/world.ts';

// The cost of a change is counted by an etcd that only this test uses.

let cluster: EtcdCluster;
beforeAll(async () => {
  cluster = await startEtcd();
});
afterAll(() => cluster.stop());

/** So long that no renewal falls into the counted time. */
const TTL_SECONDS = 300;

type Make = (who: string, options?: CandidateOptions) => TestCandidate;

/** Adds one candidate. The guard of a single process would take so many for a runaway. */
async function stand(make: Make, who: string, options: CandidateOptions = {}): Promise<TestCandidate> {
  resetLoopGuards();
  const one = make(who, { hosts: cluster.endpoints, ttlSeconds: TTL_SECONDS, ...options });
  void one.campaign();
  return await one.queued();
}

/** The least time between two reads of the leader by a candidate far back. docs/reference.md promises it. */
const LEADER_EVERY_MS = 10_000;

/** Each candidate has its own lease. */
async function lineUp(
  make: Make,
  count: number,
  options?: CandidateOptions,
): Promise<readonly TestCandidate[]> {
  const all: TestCandidate[] = [];
  for (let index = 0; index < count; index++) all.push(await stand(make, `replica-${index}`, options));
  return all;
}

const metric = async (name: string): Promise<number> => {
  const text = await (await fetch(`${cluster.endpoints[0]}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith(name));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
};

/** How many changes of keys etcd has sent to watches. */
const told = (): Promise<number> => metric('etcd_debugging_mvcc_events_total');
const reads = async (): Promise<number> =>
  (await metric('grpc_server_started_total{grpc_method="Txn"')) +
  (await metric('grpc_server_started_total{grpc_method="Range"'));

/** A candidate answers a change within a turn. On a busy machine it may be late by more than one look. */
const SAME_LOOKS = 8;

/** Waits until etcd has told nothing and was asked nothing for several looks. */
const settled = async (): Promise<void> => {
  let before = -1;
  let looks = 0;
  await eventually(
    async () => {
      const now = (await told()) + (await reads());
      looks = now === before ? looks + 1 : 0;
      before = now;
      return looks >= SAME_LOOKS;
    },
    { withinMs: SOON_MS },
  );
};

const costOf = async (act: () => Promise<unknown>): Promise<{ told: number; calls: number }> => {
  await settled();
  const before = { told: await told(), calls: await reads() };
  await act();
  await settled();
  return { told: (await told()) - before.told, calls: (await reads()) - before.calls };
};

describe('a long queue', () => {
  test('C5: the cost of a join and of a leave does not grow with the queue', async ({ candidate }) => {
    const cost: { join: object; leave: object }[] = [];
    for (const count of [20, 40]) {
      const election = `of-${count}`;
      const all = await lineUp(candidate, count, { election });
      const join = await costOf(async () => {
        resetLoopGuards();
        let entries = 0;
        const note = (): void => void entries++;
        subscribe('etcd-election:candidate.entered', note);
        // Not stand(): the status of a candidate would sometimes ask for the leader, in one more read.
        void candidate('late', { hosts: cluster.endpoints, ttlSeconds: TTL_SECONDS, election }).campaign();
        await eventually(() => entries === 1, { withinMs: SOON_MS });
        unsubscribe('etcd-election:candidate.entered', note);
      });
      const leave = await costOf(() => all[count / 2]!.election.resign());
      cost.push({ join, leave });
    }
    expect(cost[1]).toEqual(cost[0]);
  });

  test('C5: etcd sends a hand-over to few candidates, also the first one after all have entered', async ({
    candidate,
    world,
    prefix,
    log,
  }) => {
    const client = world.client({ hosts: cluster.endpoints });
    const cost: number[] = [];
    for (const count of [20, 40]) {
      const election = `of-${count}`;
      const keys = client.getAll().prefix(`${prefix}${election}/`);
      const all = Array.from({ length: count }, () => {
        resetLoopGuards();
        const one = candidate('replica', { hosts: cluster.endpoints, ttlSeconds: TTL_SECONDS, election });
        void one.campaign();
        return one.election;
      });
      // The status of a candidate would ask for the leader.
      await eventually(async () => (await keys.count()) === count, { withinMs: 4 * SOON_MS });
      const { told } = await costOf(async () => {
        const leader = all.find((one) => one.isCurrent())!;
        await leader.resign();
        await eventually(() => all.some((one) => one.isCurrent()), { withinMs: SOON_MS });
      });
      cost.push(told);
    }
    expect(cost[1]).toBe(cost[0]);
    const leaderless = log
      .of('leader.changed')
      .filter(({ fencingToken, isKnown }) => fencingToken === undefined && isKnown === true);
    expect(leaderless).toHaveLength(2); // the two that resigned
  });

  test('L1, S1: any number of candidates lead in order, and a hand-over needs no read', async ({
    candidate,
    history,
  }) => {
    const all = await lineUp(candidate, 24);
    for (const one of all) {
      await one.elected();
      await one.election.resign();
    }
    expect(history.leaders()).toEqual(all.map(({ who }) => who));
    expect(history.leadersAtOnce()).toBe(1);
    expect(history.tokens()).toEqual([...history.tokens()].sort((a, b) => Number(a - b)));
  });

  test('the position is exact at first, and then an estimate that is never too small', async ({
    candidate,
  }) => {
    const all = await lineUp(candidate, 20);
    const last = all[19]!;
    expect(last.election.status).toMatchObject({ position: 20, isPositionEstimate: true });
    expect(all[8]!.election.status).toMatchObject({ position: 9, isPositionEstimate: false });
    await Promise.all([3, 4, 5, 18].map((index) => all[index]!.election.resign()));
    await eventually(() => last.election.status.position! < 20, { withinMs: SOON_MS });
    expect(last.election.status.position).toBeGreaterThanOrEqual(16);
    expect(await last.election.candidates()).toHaveLength(16);
    await Promise.all(all.slice(0, 18).map(({ election }) => election.resign()));
    await last.elected();
    expect(last.election.status).toMatchObject({ position: 1, isPositionEstimate: false });
  });

  test('S3: many candidates ahead leave at once: we read again, and lead only after all have left', async ({
    candidate,
    history,
  }) => {
    const all = await lineUp(candidate, 30);
    await Promise.all(all.slice(1, 29).map(({ election }) => election.resign()));
    expect(all[29]!.election.status.state).toBe('waiting');
    // The first read may come before the last of them has left. Then the watch tells the rest.
    await eventually(
      () => expect(all[29]!.election.status).toMatchObject({ position: 2, isPositionEstimate: false }),
      { withinMs: SOON_MS },
    );
    await all[0]!.election.resign();
    await all[29]!.elected();
    expect(history.leadersAtOnce()).toBe(1);
  });

  test('S4: a candidate far back notices its deleted key by its watch, and enters again', async ({
    candidate,
    world,
  }) => {
    const all = await lineUp(candidate, 20, { hosts: world.etcd.endpoints });
    const keys = await world.keys();
    await world.own.delete().key(keys[14]!).exec();
    await eventually(
      async () => (await world.keys()).length === 20 && all[14]!.election.status.position === 20,
      {
        withinMs: SOON_MS,
      },
    );
  });

  test('S4: a candidate far back notices that its key lost its lease', async ({ candidate, world }) => {
    const all = await lineUp(candidate, 16, { hosts: world.etcd.endpoints });
    const [, key] = [0, (await world.keys())[12]!];
    await world.own.put(key).value('foreign').exec();
    await eventually(() => all[12]!.election.status.position === 16, { withinMs: SOON_MS });
    await eventually(async () => (await world.keys()).length === 16, { withinMs: SOON_MS });
  });

  test('foreign candidates and changed values ahead of us do not make us lead', async ({
    candidate,
    world,
    prefix,
  }) => {
    const all = await lineUp(candidate, 9, { hosts: world.etcd.endpoints });
    await world.own.put(`${prefix}e/foreign`).value('of Go').exec();
    const us = await stand(candidate, 'us', { hosts: world.etcd.endpoints });
    void all[8]!.campaign('another value');
    for (let put = 0; put < 5; put++) await world.own.put(`${prefix}e/foreign`).value(`value ${put}`).exec();
    for (const { election } of all) await election.resign();
    await eventually(() => us.election.status.position === 2, { withinMs: SOON_MS });
    expect(us.election.status.leader?.value).toBe('value 4');
    expect(us.election.status.state).toBe('waiting');
    await world.own.delete().key(`${prefix}e/foreign`).exec();
    await us.elected();
  });

  test('keys below candidate keys do not hide candidates', async ({ candidate, world, prefix }) => {
    for (let index = 0; index < 12; index++)
      await world.own.put(`${prefix}e/further/${index}`).value('x').exec();
    const all = await lineUp(candidate, 14, { hosts: world.etcd.endpoints });
    for (const one of all.slice(0, 13)) {
      await one.elected();
      await one.election.resign();
    }
    await all[13]!.elected();
    expect(all[13]!.election.status).toMatchObject({ position: 1, isPositionEstimate: false });
  });

  test('L4: far back, onLeaderChange and status show the newest leader', async ({ candidate }) => {
    const leaders: (Leader | undefined)[] = [];
    const all = await lineUp(candidate, 20);
    const listener = await stand(candidate, 'listener', {
      onLeaderChange: (leader) => void leaders.push(leader),
    });
    await eventually(() => leaders.at(-1)?.value === 'replica-0', { withinMs: SOON_MS });
    for (const { election } of all.slice(0, 4)) await election.resign();
    await eventually(() => leaders.at(-1)?.value === 'replica-4', {
      withinMs: 2 * LEADER_EVERY_MS + SOON_MS,
    });
    expect(listener.election.status.leader?.value).toBe('replica-4');
    expect(leaders.filter((leader) => leader !== undefined).length).toBeLessThanOrEqual(3);
    // This candidate has no listener: it reads because the caller asks. It may have read just before the leader left.
    const last = all[19]!;
    await eventually(() => last.election.status.leader?.value === 'replica-4', {
      withinMs: LEADER_EVERY_MS + SOON_MS,
    });
  });

  test('a leader that steps down sees its successor in a long queue', async ({ candidate, history }) => {
    const all = await lineUp(candidate, 20);
    for (const one of all.slice(0, 11)) {
      await one.elected();
      await one.election.resign();
    }
    const eleventh = all[11]!;
    await eleventh.elected();
    await eventually(async () => (await eleventh.election.candidates()).length === 9, { withinMs: SOON_MS });
    await settled();
    await eleventh.election.stepDown();
    const told = history.acts.filter(({ who, what }) => who === eleventh.who && what === 'onFollower');
    expect(told.at(-1)?.detail).toBe('following replica-12');
  });
});
