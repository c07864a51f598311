// What the watchdog reports in the course of an hour, in virtual time, with a main thread of the test.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { NO_SNAPSHOT } from '../../../src/diagnostics/elections.ts';
import type { RunawayReport } from '../../../src/diagnostics/evidence/report.ts';
import type { MainLink } from '../../../src/diagnostics/watchdog/main-link.ts';
import type { ToMain, WatchSettings } from '../../../src/diagnostics/watchdog/messages.ts';
import { Watcher } from '../../../src/diagnostics/watchdog/watcher.ts';

type Mode = 'calm' | 'blocked' | 'spinning' | 'busy';

const main = vi.hoisted(() => ({ burntMs: 0, readAt: 0, mode: 'calm' as string, filingMs: 0 }));
const filed = vi.hoisted((): unknown[] => []);

vi.mock('node:perf_hooks', () => ({ performance: { now: () => Date.now() } }));
vi.mock('../../../src/diagnostics/watchdog/main-cpu.ts', () => ({
  mainCpu: () => ({ read: () => ({ burntMs: burnt(), wantedMs: burnt() }), close: () => {} }),
}));
vi.mock('../../../src/diagnostics/profile/record-main.ts', () => ({
  async recordMain(_: unknown, { durationMs, onBegun }: { durationMs: number; onBegun: () => void }) {
    onBegun();
    await new Promise((resolve) => setTimeout(resolve, durationMs));
    const frame = { functionName: '(root)', scriptId: '0', url: '', lineNumber: -1, columnNumber: -1 };
    const nodes = [{ id: 1, callFrame: frame, hitCount: 0, children: [] }];
    return { profile: { nodes, startTime: 0, endTime: 1, samples: [1], timeDeltas: [1] }, takenAt: 0 };
  },
}));
vi.mock('../../../src/diagnostics/evidence/file-report.ts', () => ({
  async fileReport(report: unknown) {
    filed.push(report);
    if (main.filingMs > 0) await new Promise((resolve) => setTimeout(resolve, main.filingMs));
    return report;
  },
  writeLine: () => {},
}));

function burnt(): number {
  const now = Date.now();
  if (main.mode !== 'calm') main.burntMs += now - main.readAt;
  main.readAt = now;
  return main.burntMs;
}

const settings: WatchSettings = {
  stallMs: 1_000,
  runawayMs: 5_000,
  hotMs: 10_000,
  hotUtilization: 0.9,
  pollMs: 500,
  profileMs: 1_000,
  cooldownMs: 600_000,
  startupGraceMs: 0,
  evidence: { directory: undefined, keep: 1, maxBytes: 1 },
  log: false,
  webhook: undefined,
  onStarved: 'report',
  deoptimise: false,
  whyNoProfile: undefined,
  notes: [],
};

describe('the watchdog in the course of an hour', () => {
  const posted: ToMain[] = [];
  let isAsked = false;
  let watcher: Watcher;
  const kill = vi.fn();

  const answer = (): void => {
    if (!isAsked || main.mode === 'blocked') return;
    isAsked = false;
    const spins = main.mode === 'spinning';
    watcher.answered({
      utilization: main.mode === 'calm' ? 0 : 1,
      turns: spins ? 1e6 : 10,
      events: spins ? 1e6 : 1e3,
    });
  };
  const link = {
    snapshot: NO_SNAPSHOT,
    led: Array.from({ length: 1_000 }, (_, i) => ({ name: `e${i}`, fencingToken: '7', validUntil: 0 })),
    ask: () => {
      isAsked = true;
      setTimeout(answer, 1);
    },
    post: (message: ToMain) => void posted.push(message),
  } as unknown as MainLink;

  function start(options: Partial<WatchSettings> = {}): void {
    watcher = new Watcher(link, { ...settings, ...options });
  }
  async function be(mode: Mode, forMs: number): Promise<void> {
    burnt();
    main.mode = mode;
    answer();
    await vi.advanceTimersByTimeAsync(forMs);
  }
  const verdicts = (): string[] => (filed as RunawayReport[]).map(({ verdict }) => verdict);
  const ended = (): string[] =>
    posted.flatMap((message) => (message.type === 'ended' ? [message.verdict] : []));

  beforeEach(() => {
    vi.useFakeTimers();
    vi.spyOn(process, 'kill').mockImplementation(kill);
    Object.assign(main, { burntMs: 0, readAt: Date.now(), mode: 'calm', filingMs: 0 });
    filed.length = posted.length = 0;
    isAsked = false;
    kill.mockClear();
  });
  afterEach(() => {
    watcher.stop();
    vi.restoreAllMocks();
    vi.useRealTimers();
  });

  it('reports and kills an endless loop that comes soon after a block', async () => {
    start({ onStarved: 'kill' });
    await be('blocked', 2_500);
    await be('calm', 300_000);
    expect(verdicts()).toEqual(['blocked']);
    await be('blocked', 10_000);
    expect(verdicts()).toEqual(['blocked', 'starved']);
    expect(kill).toHaveBeenCalledExactlyOnceWith(process.pid, 'SIGKILL');
  });

  it('kills even if an earlier loop was reported and ended by itself', async () => {
    start({ onStarved: 'kill' });
    main.filingMs = 3_000; // a slow webhook
    await be('blocked', 6_000);
    await be('calm', 60_000);
    expect([verdicts(), kill.mock.calls.length]).toEqual([['starved'], 0]);
    await be('blocked', 10_000);
    expect(kill).toHaveBeenCalledOnce();
  });

  it('reports a loop that still runs after the cooldown of an earlier loop', async () => {
    start();
    await be('blocked', 8_000);
    await be('calm', 60_000);
    expect(verdicts()).toEqual(['starved']);
    await be('blocked', 400_000);
    expect(verdicts()).toEqual(['starved']);
    await be('blocked', 200_000);
    expect(verdicts()).toEqual(['starved', 'starved']);
  });

  it('keeps a cooldown for every kind of report', async () => {
    start();
    for (let i = 0; i < 5; i++) {
      await be('blocked', 2_500);
      await be('calm', 30_000);
      await be('blocked', 8_000);
      await be('calm', 30_000);
    }
    expect(verdicts()).toEqual(['blocked', 'starved']);
    await be('calm', 600_000);
    await be('blocked', 2_500);
    await be('calm', 10_000);
    expect(verdicts()).toEqual(['blocked', 'starved', 'blocked']);
  });

  it('reports a hot loop soon after another loop that ended before its report', async () => {
    start({ profileMs: 5_000 });
    await be('spinning', 10_600); // noticed after 10 s
    await be('calm', 60_000);
    expect(verdicts()).toEqual(['saturated']);
    await be('spinning', 17_000);
    expect(verdicts()).toEqual(['saturated', 'hot']);
  });

  it('says that a hot loop is over, even if the thread stays busy afterwards', async () => {
    start();
    await be('spinning', 15_000);
    expect([verdicts(), ended()]).toEqual([['hot'], []]);
    await be('busy', 30_000);
    expect(ended()).toEqual(['hot']);
    await be('calm', 60_000);
    expect(ended()).toEqual(['hot']);
  });

  it('says that a hot loop is over, even if it was blocked in between', async () => {
    start();
    await be('spinning', 15_000);
    await be('blocked', 3_000);
    await be('spinning', 15_000);
    expect(ended()).toEqual([]);
    await be('calm', 60_000);
    expect(ended()).toEqual(['hot']);
  });

  it('names every election that a hot process leads, and steps down from all', async () => {
    start();
    await be('spinning', 15_000);
    expect((filed as RunawayReport[])[0]!.leading).toHaveLength(1_000);
    const [runaway] = posted.filter(({ type }) => type === 'runaway');
    expect(runaway).toMatchObject({ terms: { length: 1_000 } });
  });

  it('reports elections that trip together in one report, and each of them once', async () => {
    start();
    const trip = (...elections: string[]): void =>
      watcher.tripped({
        type: 'tripped',
        elections,
        guards: elections.map((election) => ({ election, rounds: 9, holds: 3, callSites: [] }) as never),
      });
    trip('a');
    trip('a', 'b', 'c');
    trip('c');
    await vi.advanceTimersByTimeAsync(10);
    const reports = filed as RunawayReport[];
    expect(reports.map(({ guards }) => guards.map(({ election }) => election))).toEqual([['a'], ['b', 'c']]);
    expect(reports.map(({ notes }) => notes)).toEqual([
      [],
      ['the loop guards of 2 elections tripped together'],
    ]);
  });

  it('reports nothing in the startup grace, and afterwards what still lasts', async () => {
    start({ startupGraceMs: 20_000 });
    await be('blocked', 19_000);
    expect(verdicts()).toEqual([]);
    await be('blocked', 5_000);
    expect(verdicts()).toEqual(['starved']);
  });
});
