import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { cCompiler, isStopped, SuspendedClocks } from '../support/suspended-clock.ts';
import { suspensionUnnoticed } from './lab/sabotages.ts';
import { gaps, tooLong, unsafe } from './lab/checker.ts';
import type { Finding } from './lab/evidence.ts';
import { during } from './lab/fault-kind.ts';
import { nowMs, type Acting } from './lab/history.ts';
import type { Candidate } from './lab/candidate-process.ts';
import { Lab, NOISE_MS } from './lab/lab.ts';
import { forOneTtl, sharedCluster } from './lab/story.ts';

// A machine is suspended and resumes: CLOCK_MONOTONIC stood still, the wall clock and the boot time continued. Here
// only one process sleeps (SIGSTOP), and suspended-clock.c subtracts the sleep from its monotonic clock. Its network
// returns later, so that no message can end the term before its clock does.

const HOUR_MS = 3_600_000;

interface Night {
  readonly findings: readonly Finding[];
  /** How long the suspended leader acted after it resumed, in milliseconds. */
  readonly actedAwakeMs: number;
  /** How soon after the resumption its signal aborted, in milliseconds. */
  readonly abortedAwakeMs: number;
  readonly endings: readonly string[];
  readonly bobStillLeads: boolean;
}

/** The leader sleeps for more than a TTL, another one leads, and the first one resumes. */
async function suspendTheLeader(lab: Lab, clocks: SuspendedClocks): Promise<Night> {
  const alice = await lab.leader();
  // The leader reports its election before it acts. A sleep between the two would leave no stamp from before.
  await lab.until('it has acted', () => /^S .*\n/m.test(readFileSync(alice.historyFile, 'utf8')));
  let bob: Candidate | undefined;
  let [asleepAtMs, sleptMs, abortedAwakeMs] = [0, 0, 0];

  await during(lab, { kind: 'suspend', what: `suspend ${alice.name}` }, async () => {
    alice.freeze();
    await stopped(lab, alice);
    asleepAtMs = nowMs();
    for (const link of alice.links) link.stall();
    bob = await lab.leader({ notOf: [alice] });
    await lab.until('it slept for a TTL', () => nowMs() - asleepAtMs > lab.ttlMs);

    sleptMs = nowMs() - asleepAtMs;
    await clocks.stoodStill(alice.pid!, sleptMs);
    alice.thaw();
    // Its timers slept too: the first check of the clock ends the term.
    const fromMs = nowMs();
    await lab.until('its signal aborts', () => alice.endings.length > 0, lab.ttlMs + NOISE_MS);
    const awake = { fromMs, toMs: nowMs() };
    abortedAwakeMs = awake.toMs - awake.fromMs - (lab.noiseIn(awake) - NOISE_MS); // without stalls of this process
    await alice.restore();
  });
  const endings = [...alice.endings];
  await forOneTtl(lab);
  // His stamps may wait to be read: this process may just have been stalled. A longer stall may have cost bob his lease.
  const leader = await lab.leader({ withinMs: NOISE_MS });
  const bobStillLeads = leader === bob || bob?.endings.includes('deadline-passed') === true;

  // Its readings before the sleep are correct. Later readings lack the time of the sleep.
  const truly = (ms: number): number => (ms <= asleepAtMs ? ms : ms + sleptMs);
  const { evidence } = await lab.verdict();
  const acting = evidence.acting.map((term): Acting => {
    if (term.process !== alice.name) return term;
    const { firstMs, lastMs, workedUntilMs } = term;
    return {
      ...term,
      firstMs: truly(firstMs),
      lastMs: truly(lastMs),
      workedUntilMs: workedUntilMs === undefined ? undefined : truly(workedUntilMs),
    };
  });
  const corrected = { ...evidence, acting };
  const slept = acting.find(({ process, firstMs }) => process === alice.name && firstMs <= asleepAtMs)!;
  return {
    findings: [...unsafe(corrected), ...tooLong(gaps(corrected, lab.noiseIn))],
    actedAwakeMs: Math.max(0, slept.lastMs - asleepAtMs - sleptMs),
    abortedAwakeMs,
    endings,
    bobStillLeads,
  };
}

async function stopped(lab: Lab, { pid }: Candidate): Promise<void> {
  let isSo = false;
  await lab.until('it is stopped', () => {
    void isStopped(pid!).then((is) => (isSo = is));
    return isSo;
  });
}

describe.skipIf(cCompiler === undefined)(
  'a suspended machine (skipped without a C compiler and its headers)',
  () => {
    const cluster = sharedCluster();

    test('S2: a leader that sleeps past its lease does nothing when it wakes, although its timers slept too', async () => {
      await using clocks = await SuspendedClocks.compile(cCompiler!);
      await using lab = await Lab.start({ cluster: cluster(), candidates: 2, env: clocks.env });

      const night = await suspendTheLeader(lab, clocks);

      expect(night.actedAwakeMs).toBe(0); // its first check, at most 4 ms later, found the term over
      // A timer that slept too would have needed at least two thirds of the TTL less the margin.
      expect(night.abortedAwakeMs).toBeLessThan(lab.ttlMs / 2);
      expect(new Set(night.endings)).toEqual(new Set(['deadline-passed']));
      expect(night.bobStillLeads).toBe(true);
      expect(night.findings).toEqual([]);
    });

    test('S2: a library that trusts only the monotonic clock is caught', async () => {
      await using clocks = await SuspendedClocks.compile(cCompiler!);
      await using lab = await Lab.start({
        cluster: cluster(),
        candidates: 2,
        env: clocks.env,
        sabotage: suspensionUnnoticed,
      });

      const night = await suspendTheLeader(lab, clocks);

      // The leader renews every third of the TTL, and the margin is a tenth. At least this much was left when it fell
      // asleep.
      expect(night.actedAwakeMs).toBeGreaterThan(lab.ttlMs / 4);
      expect(night.findings).toContainEqual(expect.objectContaining({ promise: 'S2' }));
    });

    test('the test changes only the monotonic clock, not the wall clock or the boot time', async () => {
      await using clocks = await SuspendedClocks.compile(cCompiler!);
      const script = `process.on('message', () => process.send(
      [performance.now(), Number(process.hrtime.bigint()) / 1e6, Date.now(), os.uptime() * 1000]))`;
      const child = spawn(process.execPath, ['-e', script], {
        env: { ...process.env, ...clocks.env },
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      });
      const readings = async (): Promise<number[]> => {
        const answer = once(child, 'message') as Promise<[number[]]>;
        child.send('');
        return (await answer)[0];
      };
      try {
        const before = await readings();
        // The clock is set ahead, because a process cannot read a time before its start.
        await clocks.stoodStill(child.pid!, -HOUR_MS);
        const after = await readings();
        const hoursAhead = after.map((ms, index) => Math.round((ms - before[index]!) / HOUR_MS));
        expect(hoursAhead).toEqual([1, 1, 0, 0]);
      } finally {
        child.kill('SIGKILL');
      }
    });
  },
);
