import { expect, test } from 'vitest';
import { Lab, NOISE_MS } from './lab/lab.ts';
import { expectKept, forOneTtl, sharedCluster, untilAnotherLeads } from './lab/story.ts';

// SIGSTOP has the effect of a long garbage collection, a debugger or a hypervisor.

const cluster = sharedCluster();

test('S2, L2: a leader that is paused past its lease does nothing when it resumes', async () => {
  await using lab = await Lab.start({ cluster: cluster() });
  const alice = await lab.leader();

  await untilAnotherLeads(lab, alice, { kind: 'pause', what: `pause ${alice.name}` }, () => alice.freeze());
  await lab.until('it knows', () => alice.endings.length > 0);
  await forOneTtl(lab);

  expect(await lab.leader({ withinMs: NOISE_MS })).not.toBe(alice);
  await expectKept(lab);
});

test('S2: a leader that is paused for less than its lease keeps its term', async () => {
  await using lab = await Lab.start({ cluster: cluster(), ttlSeconds: 6 }); // a busy machine pauses it further
  const alice = await lab.leader();

  const quarterMs = lab.ttlMs / 4;
  alice.freeze();
  const wokenAtMs = performance.now() + quarterMs;
  await lab.until('a quarter of the TTL', () => performance.now() >= wokenAtMs);
  alice.thaw();
  await forOneTtl(lab);

  expect(alice.endings).toEqual([]);
  expect((await expectKept(lab)).terms).toBe(1);
});

test('L2: after a SIGKILL of the leader the next one leads within the TTL plus 0.75 s', async () => {
  await using lab = await Lab.start({ cluster: cluster() });
  const alice = await lab.leader();

  await untilAnotherLeads(lab, alice, { kind: 'kill', what: `kill ${alice.name}` }, () => lab.kill(alice));

  await expectKept(lab);
});

test('S2, S3: all replicas are paused past the lease: the first to resume is the only leader', async () => {
  await using lab = await Lab.start({ cluster: cluster() });
  const fault = lab.fault({ kind: 'pause', what: 'pause all', isOutage: true });
  for (const candidate of lab.candidates) candidate.freeze();
  await forOneTtl(lab);
  await forOneTtl(lab);
  for (const candidate of lab.candidates) candidate.thaw();
  fault.lift();

  await lab.leader();
  await forOneTtl(lab);
  await expectKept(lab);
});
