import { expect, test } from 'vitest';
import { during } from './lab/fault-kind.ts';
import { Lab } from './lab/lab.ts';
import { expectKept, forOneTtl, sharedCluster } from './lab/story.ts';

// A loop that never lets the event loop turn: no timer fires, no renewal goes out, and yet the work goes on.

const cluster = sharedCluster();

test('S2: a leader that blocks its event loop past its lease is told by the check, not by a timer', async () => {
  await using lab = await Lab.start({ cluster: cluster() });
  const alice = await lab.leader();

  // It asks `isCurrent()` and acts, every few milliseconds, all the while.
  await during(lab, { kind: 'block-loop', what: `block ${alice.name}` }, async () => {
    alice.tell({ do: 'block', forMs: 2.5 * lab.ttlMs });
    await lab.leader({ notOf: [alice] });
    await lab.until('it knows', () => alice.endings.length > 0);
  });

  const { evidence } = await expectKept(lab);
  const [term] = evidence.acting.filter(({ process }) => process === alice.name);
  // That it acted while blocked is what makes this a test: stamps kept coming, until the deadline.
  expect(term!.longestPauseMs).toBeLessThan(lab.ttlMs / 2);
});

test('S2: blocked for a third of its lease it leads on', async () => {
  await using lab = await Lab.start({ cluster: cluster(), ttlSeconds: 4 });
  const alice = await lab.leader();

  await during(lab, { kind: 'block-loop', what: `block ${alice.name}` }, async () => {
    alice.tell({ do: 'block', forMs: lab.ttlMs / 3 });
    await forOneTtl(lab);
  });

  expect(alice.endings).toEqual([]);
  expect((await expectKept(lab)).terms).toBe(1);
});

test('S2: under the pressure of a garbage collector nothing is lost but time', async () => {
  await using lab = await Lab.start({ cluster: cluster() });
  const alice = await lab.leader();

  await during(lab, { kind: 'gc-pressure', what: `litter ${alice.name}` }, async () => {
    alice.tell({ do: 'litter', forMs: lab.ttlMs });
    await forOneTtl(lab);
  });

  const { evidence } = await expectKept(lab);
  const [term] = evidence.acting.filter(({ process }) => process === alice.name);
  // It stamps every 4 ms: the collector, and the making of so much litter, did stop it.
  expect(term!.longestPauseMs).toBeGreaterThan(20);
});
