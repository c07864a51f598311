import { describe, expect, test } from 'vitest';
import { Lab } from './lab/lab.ts';
import { deadlineDoubled } from './lab/sabotages.ts';
import { expectKept, forOneTtl, sharedCluster, untilAnotherLeads } from './lab/story.ts';

// Candidates are processes. Each has its own network to each member, and one of these networks fails.

const cluster = sharedCluster();

describe('when the leader can no longer reach etcd', () => {
  test('S2, L2: it stops before the next leader starts, and the next starts within the TTL plus 0.75 s', async () => {
    await using lab = await Lab.start({ cluster: cluster() });
    const alice = await lab.leader();

    const bob = await untilAnotherLeads(lab, alice, { kind: 'cut', what: `cut ${alice.name}` }, () => {
      for (const link of alice.links) link.cut();
    });

    expect(new Set(alice.endings)).toEqual(new Set(['deadline-passed']));
    expect(bob).not.toBe(alice);
    await expectKept(lab);
  });

  test('S2: it stops in time too if its connections are reset at every dial', async () => {
    await using lab = await Lab.start({ cluster: cluster() });
    const alice = await lab.leader();

    await untilAnotherLeads(lab, alice, { kind: 'reset-all', what: `reset ${alice.name}` }, () => {
      for (const link of alice.links) link.resetAll();
    });

    await expectKept(lab);
  });

  test('L3: it campaigns again by itself when it reaches etcd, and leads in its turn', async () => {
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

  test('one unreachable member ends no term: the library asks the others', async () => {
    await using lab = await Lab.start({ cluster: cluster(), ttlSeconds: 6 }); // a busy machine costs no lease of this length
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

describe('the tests catch a broken library', () => {
  test('S2: a library that believes its lease for twice as long is caught', async () => {
    // The next leader of a busy machine may begin seconds late, and must do so beside the old one.
    await using lab = await Lab.start({ cluster: cluster(), ttlSeconds: 3, sabotage: deadlineDoubled });
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
    expect(Math.max(...overlaps.map(({ ms = 0 }) => ms))).toBeGreaterThan(lab.ttlMs / 4); // the next leader of a busy machine begins late
  });
});
