import { expect, test } from 'vitest';
import { during } from './lab/fault-kind.ts';
import { Lab, NOISE_MS } from './lab/lab.ts';
import { expectKept, forOneTtl, sharedCluster } from './lab/story.ts';

// A loop that blocks the event loop: no timer fires and no renewal is sent, but the work continues.

const cluster = sharedCluster();

test('S2: a leader that blocks its event loop past its lease loses the term at its next check', async () => {
  await using lab = await Lab.start({ cluster: cluster() });
  const alice = await lab.leader();

  // The loop calls `isCurrent()` and acts, every few milliseconds.
  await during(lab, { kind: 'block-loop', what: `block ${alice.name}` }, async () => {
    alice.tell({ do: 'block', forMs: 2.5 * lab.ttlMs });
    await lab.leader({ notOf: [alice] });
    await lab.until('it knows', () => alice.endings.length > 0);
  });

  const { evidence } = await expectKept(lab);
  const [term] = evidence.acting.filter(({ process }) => process === alice.name);
  // The test is only valid if the leader acted while blocked. It renewed at most a third of the TTL before, so more than half of the
  // TTL was left.
  const blocked = { fromMs: evidence.faults[0]!.fromMs, toMs: term!.lastMs };
  const stalledMs = lab.noiseIn(blocked) - NOISE_MS;
  expect(blocked.toMs - blocked.fromMs).toBeGreaterThan(lab.ttlMs / 4 - stalledMs);
});

test('S2: a leader that blocks its event loop for a third of its lease keeps its term', async () => {
  await using lab = await Lab.start({ cluster: cluster(), ttlSeconds: 6 }); // a busy machine blocks it further
  const alice = await lab.leader();

  await during(lab, { kind: 'block-loop', what: `block ${alice.name}` }, async () => {
    alice.tell({ do: 'block', forMs: lab.ttlMs / 3 });
    await forOneTtl(lab);
  });

  expect(alice.endings).toEqual([]);
  expect((await expectKept(lab)).terms).toBe(1);
});

test('S2: long garbage collections delay the work but end no term', async () => {
  await using lab = await Lab.start({ cluster: cluster() });
  const alice = await lab.leader();

  await during(lab, { kind: 'gc-pressure', what: `litter ${alice.name}` }, async () => {
    alice.tell({ do: 'litter', forMs: lab.ttlMs });
    await forOneTtl(lab);
  });

  const { evidence } = await expectKept(lab);
  const [term] = evidence.acting.filter(({ process }) => process === alice.name);
  // The leader writes a stamp every 4 ms. A longer pause shows that the garbage collector did stop it.
  expect(term!.longestPauseMs).toBeGreaterThan(20);
});
