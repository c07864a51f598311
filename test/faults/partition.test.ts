import { describe, expect, test } from 'vitest';
import { Lab } from './lab/lab.ts';
import { deadlineDoubled } from './lab/sabotages.ts';
import { expectKept, forOneTtl, sharedCluster, untilAnotherLeads } from './lab/story.ts';

// Candidates are processes; each reaches each member through a network of its own, which fails for one of them.

const cluster = sharedCluster();

describe('when the leader can no longer reach etcd', () => {
  test('S2, L2: it stops leading before the next leader starts, and that is within the TTL and 0.75 s', async () => {
    await using lab = await Lab.start({ cluster: cluster() });
    const alice = await lab.leader();

    const bob = await untilAnotherLeads(lab, alice, { kind: 'cut', what: `cut ${alice.name}` }, () => {
      for (const link of alice.links) link.cut();
    });

    expect(alice.endings).toEqual(['deadline-passed']);
    expect(bob).not.toBe(alice);
    await expectKept(lab);
  });

  test('S2: the same where its connections are reset as often as it dials', async () => {
    await using lab = await Lab.start({ cluster: cluster() });
    const alice = await lab.leader();

    await untilAnotherLeads(lab, alice, { kind: 'reset-all', what: `reset ${alice.name}` }, () => {
      for (const link of alice.links) link.resetAll();
    });

    await expectKept(lab);
  });

  test('L3: back in reach it stands again by itself, and leads when its turn comes', async () => {
    await using lab = await Lab.start({ cluster: cluster(), candidates: 2 });
    const alice = await lab.leader();
    const bob = await untilAnotherLeads(lab, alice, { kind: 'cut', what: `cut ${alice.name}` }, () => {
      for (const link of alice.links) link.cut();
    });

    await lab.until('alice is back in the queue', () => {
      alice.tell({ do: 'report' });
      return alice.reported?.status === 'waiting' && alice.reported.position === 2;
    });
    bob.tell({ do: 'resign' });

    expect(await lab.leader({ notOf: [bob] })).toBe(alice);
    await expectKept(lab);
  });

  test('one member out of reach ends no term: the others are asked', async () => {
    await using lab = await Lab.start({ cluster: cluster() });
    const alice = await lab.leader();

    alice.links[0]!.cut();
    await forOneTtl(lab);
    await alice.links[0]!.restore();
    alice.links[1]!.cut();
    await forOneTtl(lab);

    expect(alice.endings).toEqual([]);
    expect((await expectKept(lab)).terms).toBe(1);
  });
});

describe('that these tests can fail', () => {
  test('S2: a library that believes its lease for twice as long is caught', async () => {
    await using lab = await Lab.start({ cluster: cluster(), sabotage: deadlineDoubled });
    const alice = await lab.leader();

    for (const link of alice.links) link.cut();
    await lab.leader({ notOf: [alice] });
    await forOneTtl(lab);

    const { findings } = await lab.verdict();
    expect(findings).toContainEqual(expect.objectContaining({ promise: 'S2' }));
  });

  test("S2: etcd3's own election, cut off in the same way, has two leaders for about a TTL", async () => {
    await using lab = await Lab.start({ cluster: cluster(), kind: 'etcd3', ttlSeconds: 2 });
    const alice = await lab.leader();

    for (const link of alice.links) link.stall();
    await lab.leader({ notOf: [alice] });
    await lab.until('the old leader has noticed', () => alice.term === undefined);

    const overlaps = (await lab.verdict()).findings.filter(({ promise }) => promise === 'S2');
    expect(Math.max(...overlaps.map(({ ms = 0 }) => ms))).toBeGreaterThan(lab.ttlMs / 2);
  });
});
