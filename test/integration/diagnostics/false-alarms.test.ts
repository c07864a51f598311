import { setTimeout as after } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { RunawayChild, buildDiagnostics } from '../../support/diagnostics-child.ts';

const watch = { stallMs: 1_000, hotMs: 2_000, pollMs: 250, profileMs: 600 };
/** Long enough for all of it to be seen, recorded and reported. */
const WATCHED_MS = watch.hotMs + watch.profileMs + 4 * watch.pollMs;

/** A part of the workloads in test/support/honest-workloads.mjs. */
const tried = [
  'serves HTTP at full load',
  'consumes a queue at full rate',
  'gives way each millisecond of a batch',
  'sorts numbers for half a second',
  'fills memory and frees it',
];

let module: string;
beforeAll(async () => {
  module = await buildDiagnostics();
});

describe('no alarm', () => {
  it.each(['idle', 'timer'])('from an idle process: %s', async (kind) => {
    await using child = await RunawayChild.start({ module, kind, options: watch });
    await child.begin();
    await after(WATCHED_MS);
    expect(child.stderr).toBe('');
  });

  it.each(['sleepSync', 'collect'])('from work that resembles a runaway: %s', async (kind) => {
    await using child = await RunawayChild.start({
      module,
      kind,
      execArgv: ['--expose-gc'],
      options: { ...watch, hotMs: 60_000 },
    });
    await child.begin();
    await child.said(({ done }) => done);
    await after(WATCHED_MS);
    expect(child.stderr).toBe('');
  });

  it('from a block that ends before the profile shows anything', async () => {
    // A block of 1.5 s is seen after 1.2 s, so the profile shows mostly the time afterwards. The answer must arrive in
    // its first quarter. That is five times the rest of the block, because a busy machine answers late.
    const options = { ...watch, stallMs: 1_200, profileMs: 6_000 };
    await using child = await RunawayChild.start({ module, kind: 'block', options });
    await child.begin();
    await child.said(({ done }) => done);
    await after(options.profileMs + 4 * options.pollMs);
    expect(child.stderr).toBe('');
  });

  it('from repeated SIGSTOP in the middle of work', async () => {
    await using child = await RunawayChild.start({ module, kind: 'timer', options: watch });
    await child.begin();
    for (const stoppedMs of [3 * watch.stallMs, 600, 600, 600]) {
      child.process.kill('SIGSTOP');
      await after(stoppedMs);
      child.process.kill('SIGCONT');
      await after(watch.pollMs);
    }
    await after(WATCHED_MS);
    expect(child.stderr).toBe('');
  });

  it('in the start-up grace', async () => {
    await using child = await RunawayChild.start({
      module,
      kind: 'block',
      options: { ...watch, stallMs: 300, startupGraceMs: 60_000 },
    });
    await child.begin();
    await child.said(({ done }) => done);
    expect(child.stderr).toBe('');
  });
});

describe('honest work is not called a runaway', () => {
  const honestForMs = watch.hotMs + 2_000;

  // `bench/false-alarms.ts` runs all twenty-two. These are the kinds that could resemble a loop.
  it.each(tried)('a service that %s', async (kind) => {
    const options = { ...watch, honestForMs };
    await using child = await RunawayChild.start({ module, kind, options });
    await child.begin();
    await child.said(({ done }) => done, 10 * honestForMs);
    await after(2 * watch.pollMs);
    expect(child.stderr).not.toContain('runaway:');
    expect(child.heard(({ runaway }) => runaway)).toEqual([]);
  });

  it('but a service that is busy for 95 % of the time is reported as saturated', async () => {
    const kind = 'is busy for 95 % of the time';
    await using child = await RunawayChild.start({
      module,
      kind,
      options: { ...watch, honestForMs: 10 * watch.hotMs },
    });
    await child.begin();
    expect(await child.said(({ notice }) => notice)).toMatchObject({
      verdict: 'saturated',
      evidence: 'profile',
    });
    await child.tells(/saturated: the event loop has had no rest for \d+\.\d s/);
  });
});

it('G7: reports a loop that was stopped and continues', async () => {
  await using child = await RunawayChild.start({ module, kind: 'sync', options: watch });
  child.process.kill('SIGSTOP');
  child.process.stdin.write('now\n');
  await after(watch.stallMs);
  child.process.kill('SIGCONT');
  expect(await child.headline(15_000)).toContain('guiltySync');
});
