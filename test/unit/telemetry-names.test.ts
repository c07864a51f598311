/**
 * How long the metrics show an election that is over. The events are published as the library does.
 */
import { channel } from 'node:diagnostics_channel';
import * as promClient from 'prom-client';
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { resetLoopGuards } from '../../src/dev/loop-guards.ts';
import { noteCampaign, type Registered } from '../../src/election-registry.ts';
import { defaultGuardSettings, electionGuard } from '../../src/loop-guard/loop-guard.ts';
import { OF_A_TERM, OF_AN_ELECTION, ORIGINS } from '../../src/telemetry/beginnings.ts';
import { electionMetrics, type ElectionMetrics } from '../../src/telemetry/prometheus.ts';
import { Recorder } from '../../src/telemetry/recorder.ts';

const KEPT = 100;
const KEPT_MS = 300_000;
const MOST = 1_000;
const DAY_MS = 86_400_000;

let registry: promClient.Registry;
let metrics: ElectionMetrics;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
  resetLoopGuards();
  registry = new promClient.Registry();
  metrics = electionMetrics(promClient, { registry });
});
afterEach(() => {
  metrics.close();
  for (const one of registered.splice(0)) noteCampaign(one, false, undefined);
  vi.useRealTimers();
});

const pass = (ms: number): void => void vi.advanceTimersByTime(ms);

const publish = (type: string, election: string, facts: object = {}): void =>
  channel(`etcd-election:${type}`).publish({ type, election, ...facts });

/** A job that leads once. Each election is a little later than the one before. */
function lead(election: string): void {
  pass(1);
  publish('candidate.entered', election);
  publish('term.started', election);
  publish('term.ended', election, { reason: 'resigned', ledMs: 1 });
  publish('term.released', election, { afterMs: 1 });
  publish('campaign.ended', election, { reason: 'resigned' });
}
const jobs = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => `job-${from + index}`);

const registered: Registered[] = [];
/** What the process knows of an election whose campaign runs, or has failed. */
function register(name: string, isStanding: boolean): Registered {
  const guard = { state: 'open', streak: 0, rounds: 0, heldForMs: 0 } as const;
  const reason = isStanding ? undefined : 'refused';
  const unmarked: Registered['unmarked'] = {
    name,
    status: {
      election: name,
      state: isStanding ? 'waiting' : 'idle',
      term: undefined,
      leader: undefined,
      position: 2,
      isPositionEstimate: false,
      guard,
      prefix: 'p/',
      clusterId: '1',
    },
    health: () => ({ healthy: isStanding, leading: false, standing: isStanding, working: false, reason }),
    stepDown: () => Promise.resolve(),
  };
  const one: Registered = { election: {}, key: name, unmarked };
  noteCampaign(one, isStanding, reason);
  registered.push(one);
  return one;
}

/** The series of a scrape, by election. */
async function scrape(): Promise<Map<string, string[]>> {
  const shown = new Map<string, string[]>();
  for (const line of (await registry.metrics()).split('\n')) {
    const election = /\belection="([^"]*)"/.exec(line)?.[1];
    if (election !== undefined) shown.set(election, [...(shown.get(election) ?? []), line]);
  }
  return shown;
}
const names = async (): Promise<string[]> => [...(await scrape()).keys()];

test('a hundred finished elections are shown for good', async () => {
  for (const name of jobs(0, KEPT)) lead(name);
  const before = await scrape();
  expect(before.get('job-0')!.length).toBeGreaterThan(80);
  pass(DAY_MS);
  expect(await scrape()).toEqual(before);
});

test('beyond a hundred, finished elections go five minutes after their last event', async () => {
  for (const name of jobs(0, KEPT + 50)) lead(name);
  pass(KEPT_MS - 150);
  publish('write.failed', 'job-7', { failures: 1, unknownOutcomes: 0 });
  expect(await names()).toHaveLength(KEPT + 50);
  pass(160);
  expect((await names()).toSorted()).toEqual(['job-7', ...jobs(51, KEPT + 50)].toSorted());
});

test('a thousand finished elections are shown at most: the last ones', async () => {
  for (const name of jobs(0, MOST + 500)) lead(name);
  expect(await names()).toEqual(jobs(500, MOST + 500));
});

test('elections with a campaign, and those that have failed, are always shown', async () => {
  const one = register('standing', true);
  register('failed', false);
  lead('standing');
  for (const name of jobs(0, 2 * MOST + 10)) lead(name);
  expect(await names()).toHaveLength(MOST + 2);
  pass(DAY_MS);
  const after = await scrape();
  expect(after.size).toBe(KEPT + 2);
  expect(after.get('standing')).toContain('etcd_election_terms_started_total{election="standing"} 1');
  expect(after.get('failed')).toContain('etcd_election_unhealthy{election="failed"} 1');
  // The time counts from the end of the campaign.
  noteCampaign(one, false, undefined);
  lead('job-0');
  expect(await names()).toContain('standing');
});

test('every series goes, and an election that comes back begins at 0', async () => {
  const failures = { failures: 3, unknownOutcomes: 1 };
  const everything = (election: string): void => {
    for (const table of [OF_AN_ELECTION, OF_A_TERM])
      for (const [metric, label, values = []] of table)
        for (const value of values) {
          const facts = { [label!]: value, ledMs: 1 };
          if (metric === 'campaignsEnded') publish('campaign.ended', election, facts);
          if (metric === 'callbacksFailed') publish('callback.failed', election, facts);
          if (metric === 'termsEnded') publish('term.ended', election, facts);
          if (metric === 'termsEnded') publish('candidate.lost', election, facts);
        }
    for (const origin of ORIGINS) publish('guard.tripped', election, { origin });
    for (const type of ['candidate.failed', 'drain.overdue', 'release.failed']) publish(type, election);
    publish('write.failed', election, failures);
    publish('leader.changed', election, { fencingToken: undefined, isKnown: true });
    publish('leader.changed', election, { fencingToken: '1', isKnown: true });
    lead(election);
  };
  everything('back');
  const first = await scrape();
  expect(first.get('back')).toContain('etcd_election_terms_started_total{election="back"} 1');
  for (const name of jobs(0, KEPT)) lead(name);
  pass(KEPT_MS + 1);
  expect(await names()).toEqual(jobs(0, KEPT));
  everything('back');
  expect((await scrape()).get('back')).toEqual(first.get('back'));
});

test('a new round of the loop guard shows an election again', async () => {
  const guard = electionGuard({ endpoints: ['h'], prefix: 'p/', election: 'read' }, 'reads');
  const rounds = async (): Promise<string[] | undefined> => (await scrape()).get('read');
  await guard.pass('caller', defaultGuardSettings);
  const shown = (count: number): string[] => [
    `etcd_election_guard_rounds_total{election="read",loop="reads"} ${count}`,
    'etcd_election_guard_held_seconds_total{election="read",loop="reads"} 0',
  ];
  expect(await rounds()).toEqual(shown(1));
  for (const name of jobs(0, KEPT)) lead(name);
  pass(KEPT_MS + 1);
  expect(await rounds()).toBeUndefined();
  await guard.pass('caller', defaultGuardSettings);
  expect(await rounds()).toEqual(shown(2));
});

test('the number is limited even if nobody scrapes', () => {
  const began = new Set<string>();
  using _recorder = new Recorder({
    record: () => undefined,
    begin: (_, { election }) => void (election !== undefined && began.add(election)),
    forget: (_, { election }) => void began.delete(election!),
  });
  let most = 0;
  for (const name of jobs(0, 4 * MOST)) {
    lead(name);
    most = Math.max(most, began.size);
  }
  expect(most).toBeGreaterThan(MOST);
  expect(most).toBeLessThanOrEqual(2 * MOST + 1);
  expect([...began].at(-1)).toBe(`job-${4 * MOST - 1}`);
});

test('a library that cannot remove a series gets 16,384 names, and a warning says so once', () => {
  const most = 16_384;
  const warned = vi.spyOn(process, 'emitWarning').mockReturnValue();
  onTestFinished(() => warned.mockRestore());
  metrics.close();
  const nothing = (): void => undefined;
  using recorder = new Recorder({ begin: nothing, record: nothing });
  const trip = (name: string): void => publish('guard.tripped', name, { origin: 'caller' });
  for (const name of jobs(0, most)) trip(name);
  pass(DAY_MS);
  expect(recorder.read().filter(({ metric }) => metric === 'isLeader')).toHaveLength(most);
  expect(warned).not.toHaveBeenCalled();
  for (const name of jobs(most, most + 10)) trip(name);
  expect(warned).toHaveBeenCalledExactlyOnceWith(
    expect.stringContaining(`gauges for at most ${most} names of elections. "job-${most}"`),
    { code: 'ETCD_ELECTION_METRICS' },
  );
  expect(recorder.read().filter(({ metric }) => metric === 'isLeader')).toHaveLength(most);
});
