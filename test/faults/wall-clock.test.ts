import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { faketime, libfaketime, setWallClock } from './lab/faketime.ts';
import { Lab } from './lab/lab.ts';
import { expectKept, forTtls, sharedCluster } from './lab/story.ts';

// libfaketime, from Debian's archive, gives candidates their own wall clock. CLOCK_MONOTONIC stays real.
const cluster = sharedCluster();
const HOUR_S = 3_600;

// In CI on Linux its absence is a failure.
const isRequired = process.env['CI'] !== undefined && process.platform === 'linux';

test.skipIf(!isRequired && (await libfaketime()) === undefined)(
  'S2: the wall clock jumps an hour forward, an hour back, and two back: no effect',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'etcd-election-clock-'));
    const clockFile = join(folder, 'clock');
    const env = await faketime(clockFile);
    expect(env, 'libfaketime, from the archive of Debian').toBeDefined();
    await using lab = await Lab.start({ cluster: cluster(), env: env!, ttlSeconds: 6 }); // a busy machine costs no lease of this length
    const alice = await lab.leader();

    for (const offset of [HOUR_S, 0, -2 * HOUR_S, 0]) {
      await setWallClock(clockFile, offset);
      await lab.until('the step is seen', () => {
        alice.tell({ do: 'report' });
        const ahead = ((alice.reported?.wallMs ?? Number.NaN) - Date.now()) / 1000;
        return Math.abs(ahead - offset) < 60;
      });
      await forTtls(lab, 0.5); // at least one renewal
    }

    expect(alice.endings).toEqual([]);
    expect((await expectKept(lab)).terms).toBe(1);
    await rm(folder, { recursive: true });
  },
);
