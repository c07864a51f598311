import { expect, test } from 'vitest';
import { faultKinds } from './lab/faults.ts';
import { Lab, NOISE_MS } from './lab/lab.ts';
import { seeded } from './lab/seeded.ts';
import { backInTime, expectKept, forOneTtl, handOver, sharedCluster } from './lab/story.ts';

const MiB = 1024 * 1024;
const cluster = sharedCluster({ etcdArgs: [`--quota-backend-bytes=${24 * MiB}`] });

test('S1, L5: etcd is out of space: the leader stays, writes are refused, and work again when there is space', async () => {
  await using lab = await Lab.start({ cluster: cluster(), ttlSeconds: 4 }); // a busy disk costs no lease of this length
  const victim = await lab.leader();
  const noSpace = faultKinds.find(({ kind }) => kind === 'no-space')!;

  await noSpace.run({ lab, random: seeded(1), victim, clockFile: undefined });
  expect(await backInTime(lab)).toBe(victim);
  expect(victim.endings).toEqual([]);
  const next = await handOver(lab, victim, NOISE_MS);
  await forOneTtl(lab);

  // etcd applies the write that crosses the quota, and still answers "space exceeded": its outcome is unknown.
  const { appends, errors, evidence } = await expectKept(lab);
  expect(appends.refused + appends.unknown).toBeGreaterThan(0);
  const writes = evidence.appends.filter(({ process, to }) => process === next.name && to === 'etcd');
  expect(writes.at(-1)).toMatchObject({ outcome: 'acknowledged' });
  expect([...errors.keys()].filter((code) => !code.startsWith('ELECTION_'))).toEqual([]);
});
