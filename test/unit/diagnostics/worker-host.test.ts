// What the main thread sends to the worker about its elections.
import { channel } from 'node:diagnostics_channel';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ElectionSource, LiveElection } from '../../../src/diagnostics/elections.ts';
import type { ToWorker, WatchSettings } from '../../../src/diagnostics/watchdog/messages.ts';
import { WorkerHost } from '../../../src/diagnostics/watchdog/worker-host.ts';

const posted = vi.hoisted((): unknown[] => []);
vi.mock('../../../src/diagnostics/watchdog/restarting-worker.ts', () => ({
  RestartingWorker: class {
    post = (message: unknown): void => void posted.push(message);
    stop = (): void => {};
  },
}));

const COUNT = 1_000;
let reads = 0;

const leader = (name: string): LiveElection => ({
  name,
  status: {
    election: name,
    state: 'leading',
    term: { fencingToken: 7n, value: 'v', leaseId: '1', remainingMs: () => 4_000 },
    leader: undefined,
    position: 1,
    isPositionEstimate: false,
    guard: { state: 'open', streak: 0, rounds: 0, heldForMs: 0 },
    prefix: 'election/',
    clusterId: undefined,
  },
  health: () => ({ healthy: true, leading: true, standing: true, working: true, reason: undefined }),
  stepDown: () => Promise.resolve(),
});
const elections = Array.from({ length: COUNT }, (_, i) => leader(`e${i}`));
/** Most guards have many rounds. The guard that trips has few. */
const guards = elections.map(({ name }, i) => ({
  key: name,
  election: name,
  purpose: 'campaign' as const,
  rounds: i === COUNT - 1 ? 6 : 5_000,
  holds: i === COUNT - 1 ? 1 : 0,
  heldMs: 0,
  callSites: [],
}));
const source: ElectionSource = {
  elections: () => {
    reads++;
    return elections;
  },
  guards: () => guards,
};
const trip = (election: string): void =>
  channel('etcd-election:guard.tripped').publish({ type: 'guard.tripped', election, origin: 'caller' });
const told = <T extends ToWorker['type']>(type: T): (ToWorker & { type: T })[] =>
  (posted as ToWorker[]).filter((message): message is ToWorker & { type: T } => message.type === type);

let host: WorkerHost;
beforeEach(() => {
  vi.useFakeTimers();
  posted.length = reads = 0;
  const ignore = (): void => {};
  host = new WorkerHost({
    settings: { notes: [] } as unknown as WatchSettings,
    source,
    onRunaway: ignore,
    onNotice: ignore,
  });
});
afterEach(async () => {
  await host.close();
  vi.useRealTimers();
});

test('a burst of trips reads the elections once, in a later turn', async () => {
  for (const { name } of elections) trip(name);
  expect(reads).toBe(0);
  await vi.advanceTimersByTimeAsync(200);
  expect(reads).toBeLessThanOrEqual(2); // the pages' snapshot, and the terms
  expect(told('tripped')).toHaveLength(1);
  expect(told('tripped')[0]!.elections).toHaveLength(COUNT);
});

test('the worker gets the guard that tripped, even if many others have more rounds', async () => {
  trip(`e${COUNT - 1}`);
  await vi.advanceTimersByTimeAsync(200);
  expect(told('tripped')).toEqual([
    { type: 'tripped', elections: [`e${COUNT - 1}`], guards: [guards[COUNT - 1]] },
  ]);
  expect(told('elections')[0]!.snapshot.guards[0]).toEqual(guards[COUNT - 1]);
});

test('the worker gets every term, even if the pages show only some elections', async () => {
  channel('etcd-election:term.started').publish({ type: 'term.started', election: 'e0' });
  await vi.advanceTimersByTimeAsync(200);
  const [{ snapshot, led }] = told('elections') as [ToWorker & { type: 'elections' }];
  expect(snapshot.elections.length).toBeLessThan(COUNT);
  expect(led.map(({ name }) => name)).toEqual(elections.map(({ name }) => name));
});
