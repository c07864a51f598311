import { join } from 'node:path';
import { expect, it } from 'vitest';
import * as diagnostics from '../../../src/diagnostics/index.ts';
import { samplingIntervalMicros } from '../../../src/diagnostics/profile/record-profile.ts';
import { readWatchdogOptions } from '../../../src/diagnostics/watchdog/watchdog-options.ts';

it('exports these names; a change here is a breaking change', () => {
  expect(Object.keys(diagnostics).sort()).toMatchInlineSnapshot(`
    [
      "DiagnosticsError",
      "captureProcess",
      "captureProfile",
      "closeInspector",
      "diagnosticsHandler",
      "findSuspects",
      "parseCpuProfile",
      "serveDiagnostics",
      "startWatchdog",
      "toFlameGraph",
      "toFlameGraphSvg",
      "toPprof",
      "toTop",
    ]
  `);
});

it.each<[object, RegExp]>([
  [{ stalMs: 1_000 }, /stalMs/],
  [{ stallMs: 10 }, /stallMs/],
  [{ stallMs: 300, pollMs: 500 }, /pollMs: must not be larger than stallMs/],
  [{ pollMs: 20 }, /pollMs: expected a number from 50 to 5000, got 20/],
  [{ runawayMs: 500 }, /runawayMs: must not be smaller than stallMs/],
  [{ runawayMs: '5s' }, /runawayMs/],
  [{ onNotice: 'page me' }, /onNotice/],
  [{ hotUtilization: 2 }, /hotUtilization/],
  [{ keep: 0 }, /keep/],
  [{ log: 'loud' }, /log/],
  [{ onRunaway: 'page me' }, /onRunaway/],
  [{ webhook: 'file:///etc/passwd' }, /webhook/],
  [{ onStarved: 'restart' }, /onStarved/],
])('a watchdog does not start with %o', (options, says) => {
  expect(() => diagnostics.startWatchdog(options)).toThrow(says);
  expect(() => diagnostics.startWatchdog(options)).toThrow(
    expect.objectContaining({ code: 'DIAGNOSTICS_INVALID' }) as Error,
  );
});

it.each<[object, RegExp]>([
  [{ host: '0.0.0.0' }, /give a token/],
  [{ host: '10.0.0.7' }, /give a token/],
  [{ host: '::' }, /give a token/],
  [{ host: '::ffff:10.0.0.7' }, /give a token/],
  [{ host: 'localhost.example' }, /give a token/],
  [{ host: '0.0.0.0', token: 'short' }, /token/],
  [{ token: '0123456789abcdef\n' }, /token: expected .* without spaces/],
  [{ token: 'correct horse battery' }, /token: expected .* without spaces/],
  [{ allowedHosts: ['ops.example:8080'] }, /allowedHosts: expected .* without scheme and port/],
  [{ allowedHosts: ['https://ops.example'] }, /allowedHosts: expected/],
  [{ allowedHosts: ['::1', ''] }, /allowedHosts: expected/],
  [{ port: 70_000 }, /port/],
  [{ maxSeconds: 0 }, /maxSeconds/],
  [{ hots: '127.0.0.1' }, /hots/],
])('a server does not start with %o', async (options, says) => {
  await expect(diagnostics.serveDiagnostics(options)).rejects.toThrow(says);
});

it('a handler refuses an unknown option', () => {
  expect(() => diagnostics.diagnosticsHandler({ tokken: 'x' } as object)).toThrow(/tokken/);
});

it('keeps the folder of the reports if the program changes its own folder', () => {
  expect(readWatchdogOptions({ directory: 'reports' }).settings.evidence.directory).toBe(
    join(process.cwd(), 'reports'),
  );
});

it('a server needs no options', () => {
  expect(readWatchdogOptions({}).settings).toMatchObject({
    stallMs: 1_000,
    pollMs: 500,
    runawayMs: 5_000,
    hotMs: 10_000,
    log: 'text',
    onStarved: 'report',
  });
});

it.each([
  [250, 250],
  [300, 300],
  [600, 500],
])('stallMs: %i alone is accepted: by default the worker checks every %i ms', (stallMs, pollMs) => {
  expect(readWatchdogOptions({ stallMs }).settings).toMatchObject({ stallMs, pollMs });
});

it.each([
  [1_000, 1_000],
  [3_000, 1_000],
  [30_000, 10_000],
  [600_000, 200_000],
])('a profile of %i ms takes a sample every %i µs: at most three thousand', (durationMs, micros) => {
  expect(samplingIntervalMicros(durationMs)).toBe(micros);
});

it('captureProfile() refuses a duration that is no number above 0, and an aborted signal', async () => {
  await expect(diagnostics.captureProfile({ seconds: 0 })).rejects.toThrow(RangeError);
  await expect(diagnostics.captureProfile({ seconds: NaN })).rejects.toThrow(RangeError);
  const aborted = AbortSignal.abort(new Error('no more'));
  await expect(diagnostics.captureProfile({ seconds: 1, signal: aborted })).rejects.toThrow('no more');
});
