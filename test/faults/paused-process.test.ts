import { expect, test } from 'vitest';
import { Lab, NOISE_MS } from './lab/lab.ts';
import { expectKept, forOneTtl, sharedCluster, untilAnotherLeads } from './lab/story.ts';

// SIGSTOP is what a garbage collection, a debugger or a hypervisor does, only longer: nobody is asked.

const cluster = sharedCluster();

test('S2, L2: a leader that is paused past its lease does not act when it wakes up', async () => {
  await using lab = await Lab.start({ cluster: cluster() });
  const alice = await lab.leader();

  const bob = await untilAnotherLeads(lab, alice, { kind: 'pause', what: `pause ${alice.name}` }, () =>
    alice.freeze(),
  );
  await lab.until('it knows', () => alice.endings.length > 0);
  await forOneTtl(lab);

  expect(await lab.leader({ withinMs: NOISE_MS })).toBe(bob);
  await expectKept(lab);
});

test('S2: one that is paused for less than its lease leads on', async () => {
  await using lab = await Lab.start({ cluster: cluster(), ttlSeconds: 4 });
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

test('L2: after a SIGKILL of the leader the next one leads within the TTL and 0.75 s', async () => {
  await using lab = await Lab.start({ cluster: cluster() });
  const alice = await lab.leader();

  await untilAnotherLeads(lab, alice, { kind: 'kill', what: `kill ${alice.name}` }, () => lab.kill(alice));

  await expectKept(lab);
});

test('S2, S3: everybody paused at once, past the lease: whoever wakes up first leads alone', async () => {
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
