import { existsSync, readFileSync, statSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  RunawayChild,
  buildDiagnostics,
  guiltyLine,
  nodes,
  reportOf,
} from '../../support/diagnostics-child.ts';

/** Short, to make the tests short. Each limit below follows from them. */
const watch = { stallMs: 1_000, runawayMs: 2_000, hotMs: 1_500, pollMs: 250, profileMs: 600 };
/**
 * Additional time on a crowded machine: with half a core a loop needs twice as long to use the CPU time that
 * reveals it.
 */
const SLACK_MS = 1_500 * Math.max(1, (loadavg()[0] ?? 1) / availableParallelism());

let module: string;
beforeAll(async () => {
  module = await buildDiagnostics();
});

/** Fifteen kinds of loop, with the verdict on each and the function that contains it. */
const kinds: readonly { kind: string; verdict: 'starved' | 'hot'; guilty: string }[] = [
  { kind: 'sync', verdict: 'starved', guilty: 'guiltySync' },
  { kind: 'microtask', verdict: 'starved', guilty: 'guiltyMicrotask' },
  { kind: 'nextTick', verdict: 'starved', guilty: 'guiltyTick' },
  { kind: 'emitter', verdict: 'starved', guilty: 'guiltyPing' },
  { kind: 'flood', verdict: 'starved', guilty: 'guiltyFlood' },
  { kind: 'regex', verdict: 'starved', guilty: 'guiltyRegex' },
  { kind: 'promises', verdict: 'starved', guilty: 'guiltyChain' },
  { kind: 'iterator', verdict: 'starved', guilty: 'guiltyIterator' },
  { kind: 'retry', verdict: 'starved', guilty: 'guiltyRetry' },
  { kind: 'asyncIo', verdict: 'hot', guilty: 'guiltyEcho' },
  { kind: 'immediate', verdict: 'hot', guilty: 'guiltyImmediate' },
  { kind: 'reconnect', verdict: 'hot', guilty: 'guiltyDial' },
  { kind: 'turns', verdict: 'hot', guilty: 'guiltyTurns' },
  { kind: 'ports', verdict: 'hot', guilty: 'guiltyPingPong' },
  { kind: 'http', verdict: 'hot', guilty: 'guiltyGet' },
];

describe.each(nodes)('on $name', ({ path, missing }) => {
  describe.skipIf(missing)('G7: the watchdog names a loop that no guard inside the thread can see', () => {
    it.each(kinds)('$kind: $verdict, in $guilty', async ({ kind, verdict, guilty }) => {
      await using child = await RunawayChild.start({ module, kind, node: path, options: watch });
      const began = await child.begin();
      const seenWithin =
        (verdict === 'starved' ? watch.stallMs : watch.hotMs + 2 * watch.pollMs) + 2 * watch.pollMs;
      const filedWithin = seenWithin + watch.runawayMs + watch.profileMs;
      const line = await child.headline(filedWithin + 5 * SLACK_MS);

      const report = reportOf(line);
      expect(report).toMatchObject({ verdict, evidence: 'profile' });
      expect(Date.parse(report.at) - began).toBeLessThan(seenWithin + SLACK_MS);
      const named = report.suspects.find((suspect) => suspect.function.split('.').at(-1) === guilty);
      expect(named, line).toMatchObject({ owner: 'app' });
      expect(named?.file).toMatch(/runaway-child\.mjs$/);
      const [first, last] = [guiltyLine(kind) - 3, guiltyLine(kind)]; // from the start of the function to its busiest line
      expect(named?.line).toBeGreaterThanOrEqual(first);
      expect(named?.line).toBeLessThanOrEqual(last);
      expect(line).toContain(`${guilty} (`);
      expect(line).toContain(`runaway-child.mjs:${named?.line}`);
    });
  });
});

it('writes evidence that only its owner can read', async () => {
  await using child = await RunawayChild.start({ module, kind: 'sync', options: { ...watch, fake: true } });
  await child.begin();
  const { files, verdict, leading, notes } = reportOf(await child.headline(10_000));
  expect(Object.keys(files).sort()).toEqual([
    'campaigns',
    'cpuprofile',
    'directory',
    'flameGraph',
    'pprof',
    'report',
    'top',
  ]);
  for (const [kind, path] of Object.entries(files)) {
    expect(existsSync(path), kind).toBe(true);
    expect(statSync(path).mode & 0o077, kind).toBe(0);
  }
  expect(readFileSync(String(files.top), 'utf8')).toContain('guiltySync');
  expect(readFileSync(String(files.flameGraph), 'utf8')).toContain('guiltySync');
  expect({ verdict, leading }).toEqual({ verdict: 'starved', leading: ['sync-master'] });
  expect(notes.join()).toContain('cannot renew while it spins: its term ');
});
