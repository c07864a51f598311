import { describe, expect, test } from 'vitest';
import { during } from './lab/fault-kind.ts';
import { Lab } from './lab/lab.ts';
import { writesRepeated } from './lab/sabotages.ts';
import { expectKept, forOneTtl, leaderOnAllWays, sharedCluster } from './lab/story.ts';

// Requests arrive, but replies are lost: the client cannot know whether etcd has executed them.

const cluster = sharedCluster();

async function repliesOfLeaderAreLost(lab: Lab): Promise<void> {
  const alice = await leaderOnAllWays(lab);
  await during(
    lab,
    { kind: 'lose-replies', what: `lose replies of ${alice.name}`, touchesEtcd: true },
    async () => {
      for (const link of alice.links) link.loseReplies();
      await forOneTtl(lab);
      await alice.restore();
    },
  );
  await lab.leader();
}

const MOST_FAULTS = 5;

const hasDoubledWrite = async (lab: Lab): Promise<boolean> =>
  (await lab.operator.list(`${lab.election}/log/`)).some(({ version }) => version > 1);

describe('when the replies to the leader are lost', () => {
  test('S1: a write with a lost reply is not sent again; its error reports an unknown outcome', async () => {
    await using lab = await Lab.start({ cluster: cluster(), onceEach: 0, ttlSeconds: 4 });
    await repliesOfLeaderAreLost(lab);

    const { appends, errors } = await expectKept(lab);
    expect(appends.unknown).toBeGreaterThan(0);
    expect(errors.get('ELECTION_OUTCOME_UNKNOWN')).toBe(appends.unknown);
  });

  test('S1: with exactlyOnce the reported outcome of each write is correct, and the work continues', async () => {
    await using lab = await Lab.start({ cluster: cluster(), onceEach: 1, ttlSeconds: 10 });
    const alice = await leaderOnAllWays(lab);
    const marks = { kind: 'lose-replies', what: `lose replies of ${alice.name}`, touchesEtcd: true };
    for (let times = 0; times < MOST_FAULTS; times++) {
      await during(lab, marks, async () => {
        const lost = alice.links.map(({ bytesLost }) => bytesLost);
        for (const link of alice.links) link.loseReplies();
        await lab.until('replies are lost', () =>
          alice.links.some(({ bytesLost }, at) => bytesLost > lost[at]!),
        );
        await alice.restore();
      });
      await lab.leader();
      await lab.until('alice acts', () => alice.isActing);
    }
    const { appends } = await expectKept(lab);
    expect(appends.unknown, 'its lease lived all the time').toBe(0);
  });

  test('S1: a library that sends a write again if its answer was lost is caught', async () => {
    await using lab = await Lab.start({ cluster: cluster(), sabotage: writesRepeated });
    // It is random whether a write is in flight at that moment. The fault is repeated until etcd has a write twice.
    for (let times = 0; times < MOST_FAULTS && !(await hasDoubledWrite(lab)); times++)
      await repliesOfLeaderAreLost(lab);

    const { findings } = await lab.verdict();
    expect(findings).toContainEqual(
      expect.objectContaining({ promise: 'S1', what: expect.stringMatching(/was applied \d times/) }),
    );
  });
});
