import { setTimeout as after } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { RunawayChild, buildDiagnostics } from '../../support/diagnostics-child.ts';
import { eventually } from '../../support/eventually.ts';

const watch = { stallMs: 500, hotMs: 1_000, pollMs: 250, profileMs: 500 };
const REPORT_MS = 15_000;

let module: string;
beforeAll(async () => {
  module = await buildDiagnostics();
});

describe('a long block that has ended is not a runaway', () => {
  const leader = { fake: true, stepDown: true };
  const quick = { stallMs: 300, pollMs: 100, profileMs: 500 };

  it('becomes a notice that reports no lost lease and steps no term down', async () => {
    await using child = await RunawayChild.start({
      module,
      kind: 'longBlock',
      options: { ...quick, ...leader, runawayMs: 60_000 },
    });
    await child.begin();
    const notice = await child.said(({ notice }) => notice, REPORT_MS);
    expect(notice).toMatchObject({ verdict: 'blocked', ended: true, leading: ['sync-master'], notes: [] });
    expect(notice.suspects[0]?.file).toMatch(/runaway-child\.mjs$/);
    // Standard error and standard output arrive one by one.
    const told = await child.tells(/blocked: the event loop did not turn for (\d+\.\d) s.*it turns again/);
    expect(Number(told[1]), child.stderr).toBeGreaterThanOrEqual(3); // a busy machine makes it longer
    expect(child.stderr).not.toContain('runaway:');
    expect(child.heard(({ runaway, steppedDown }) => runaway ?? steppedDown)).toEqual([]);
  });

  it('becomes a notice also if it was reported before its end, and does not mark the loop as hot', async () => {
    await using child = await RunawayChild.start({
      module,
      kind: 'longBlock',
      options: { ...quick, ...leader, runawayMs: 1_000, hotMs: 2_000, blockMs: 8_000 },
    });
    await child.begin();
    expect(await child.headline(REPORT_MS)).toContain('runaway: the event loop has not turned');
    const notice = await child.said(({ notice }) => notice, REPORT_MS);
    expect(notice).toMatchObject({ verdict: 'blocked', ended: true });
    expect(notice.forMs).toBeGreaterThan(5_000);
    await child.tells(/the event loop turns again: it was a block of/);
    await after(2 * 2_000); // twice hotMs
    expect(child.heard(({ runaway, steppedDown }) => runaway ?? steppedDown)).toEqual([]);
  });
});

describe('the worker of the watchdog', () => {
  it('is started again after its death, serves on the same port, and watches', async () => {
    await using child = await RunawayChild.start({
      module,
      kind: 'workerDies',
      options: { ...watch, serve: {} },
    });
    const url = await child.said((each) => each.url);
    await child.begin();
    expect(await child.said(({ died }) => died)).toEqual({ reason: 'it exited with 1', restartInMs: 1_000 });
    await child.said(({ restarted }) => restarted);
    await child.tells(/Warning: the diagnostics worker died: it exited with 1; it starts again in 1 s/);
    const health = await eventually(() => fetch(`${url}/healthz`), { withinMs: REPORT_MS });
    expect(health.status).toBe(200);
  });

  it('survives a service with more stacks than it can keep', async () => {
    await using child = await RunawayChild.start({
      module,
      kind: 'stacks',
      options: { ...watch, hotMs: 60_000, serve: {} },
    });
    const url = await child.said((each) => each.url);
    await child.begin();
    const profile = await fetch(`${url}/debug/pprof/profile?seconds=20`);
    expect(profile.status).toBe(200);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect(child.stderr).not.toContain('died');
  });
});
