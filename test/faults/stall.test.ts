import { describe, expect, test } from 'vitest';
import { during } from './lab/fault-kind.ts';
import { Lab } from './lab/lab.ts';
import { elseOutsideFence, fenceLeftOut } from './lab/sabotages.ts';
import { expectKept, forOneTtl, leaderOnAllWays, sharedCluster, untilAnotherLeads } from './lab/story.ts';

// The network keeps its connections open and delivers nothing: no side gets an error.

const cluster = sharedCluster();

describe('when the network of the leader falls silent', () => {
  test.each(['both', 'up', 'down'] as const)(
    'S2, L2: stalled %s ways, it stops before the next leader starts',
    async (direction) => {
      await using lab = await Lab.start({ cluster: cluster() });
      const alice = await lab.leader();

      await untilAnotherLeads(
        lab,
        alice,
        // Requests arrive: for one TTL etcd receives renewals whose answers never reach us.
        { kind: 'stall', what: `stall ${direction}`, touchesEtcd: direction === 'down' },
        () => {
          for (const link of alice.links) link.stall(direction);
        },
      );

      expect(new Set(alice.endings)).toEqual(new Set(['deadline-passed']));
      await expectKept(lab);
    },
  );

  test('S2: a slow network with 150 ms each way ends no term', async () => {
    await using lab = await Lab.start({ cluster: cluster(), ttlSeconds: 6 });
    const alice = await lab.leader();

    await during(lab, { kind: 'slow', what: 'slow' }, async () => {
      for (const link of alice.links) link.slow(150);
      await forOneTtl(lab);
    });

    expect(alice.endings).toEqual([]);
    await expectKept(lab);
  });
});

/**
 * Slows the network so much that writes arrive after another candidate leads, but before their calls are
 * cancelled. It stays slow until all writes of the term have arrived. Otherwise a write and its cancellation
 * would arrive together.
 */
async function writesComeLate(lab: Lab): Promise<void> {
  const alice = await leaderOnAllWays(lab);
  const delayMs = 1.9 * lab.ttlMs;
  let slowedAtMs = 0;
  await untilAnotherLeads(
    lab,
    alice,
    { kind: 'slow', what: 'slow', touchesEtcd: true },
    () => {
      slowedAtMs = performance.now();
      for (const link of alice.links) link.slow(delayMs);
    },
    async () => {
      await lab.until('the next leader has written', () => lab.resource.log.at(-1)?.process !== alice.name);
      await lab.until(
        'all writes of the last one have arrived',
        () => performance.now() >= slowedAtMs + lab.ttlMs + delayMs,
      );
      await alice.restore();
    },
  );
}

/** It is random whether the write in flight outlives its connection. The fault is repeated until one arrives late. */
const MOST_FAULTS = 5;
const FAULTS = 2;

/** Keys begin with the token. They are returned in order of creation. */
async function hasLateWrite(lab: Lab): Promise<boolean> {
  const keys = (await lab.operator.list(`${lab.election}/log/`)).map(({ key }) => key);
  const token = (key: string): string => key.split('/').at(-3)!;
  return keys.some((key, index) => index > 0 && token(key) < token(keys[index - 1]!));
}

describe('when a fenced write arrives after its term', () => {
  test('S1: it changes nothing', async () => {
    await using lab = await Lab.start({ cluster: cluster(), onceEach: 0 });
    for (let times = 0; times < FAULTS; times++) await writesComeLate(lab);
    const { appends } = await expectKept(lab);
    expect(appends.unknown, 'sent in the term, and arrived after it').toBeGreaterThan(0);
  });

  test('S1: a library whose else branch runs when the fence fails is caught', async () => {
    await using lab = await Lab.start({ cluster: cluster(), sabotage: elseOutsideFence });
    const written = () => lab.operator.list(`${lab.election}/else/`);
    for (let times = 0; times < MOST_FAULTS && (await written()).length === 0; times++)
      await writesComeLate(lab);
    expect((await lab.verdict()).findings).toContainEqual(
      expect.objectContaining({ promise: 'S1', what: expect.stringContaining('an else branch wrote') }),
    );
  });

  test('S1: a library that leaves the fence out is caught', async () => {
    await using lab = await Lab.start({ cluster: cluster(), sabotage: fenceLeftOut });
    for (let times = 0; times < MOST_FAULTS && !(await hasLateWrite(lab)); times++) await writesComeLate(lab);
    expect((await lab.verdict()).findings).toContainEqual(
      expect.objectContaining({ promise: 'S1', what: expect.stringContaining('stands behind one of token') }),
    );
  });
});
