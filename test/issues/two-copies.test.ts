// A bundler such as Next.js put two copies of this package into one process. Each copy kept its own list of elections. So
// `/healthz` of one copy answered 200 while an election of the other was unhealthy, and both copies started a watchdog.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import * as promClient from 'prom-client';
import { expect, onTestFinished, vi } from 'vitest';
import { startWatchdog } from 'etcd-election/diagnostics';
import { Election, failedElections, liveElections } from 'etcd-election';
import { Deferred } from '../../src/util/deferred.ts';
import { eventually } from '../support/eventually.ts';
import { SOON_MS, test } from '../support/world.ts';

/** Loads the package again, as a bundle with a copy of its own does. */
async function secondCopy() {
  vi.resetModules();
  const library = await import('../../src/index.ts');
  expect(library.Election).not.toBe(Election);
  const diagnostics = await import('../../src/diagnostics/index.ts');
  const { electionMetrics } = await import('../../src/telemetry/prometheus.ts');
  return { ...library, ...diagnostics, electionMetrics };
}

test('health, metrics and lists of one copy show the elections of another', async ({ candidate }) => {
  const copy = await secondCopy();
  const register = new promClient.Registry();
  const metrics = copy.electionMetrics(promClient, { registry: register });
  onTestFinished(() => metrics.close());
  await using server = createServer(copy.diagnosticsHandler()).listen(0, '127.0.0.1');
  const healthz = async (): Promise<number> =>
    (await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/healthz`)).status;

  const work = new Deferred<void>();
  onTestFinished(() => work.resolve());
  const { election } = candidate('alice', { drainTimeoutMs: 200, onLeader: () => work.promise });
  void election.campaign('alice');
  await eventually(() => expect(copy.liveElections()).toEqual([election]), { withinMs: SOON_MS });
  await eventually(() => expect(election.isCurrent()).toBe(true), { withinMs: SOON_MS });
  expect(await healthz()).toBe(200);
  expect(await register.metrics()).toContain('etcd_election_is_leader{election="e"} 1');

  await election.stepDown(); // the work ignores its signal
  expect(election.health()).toMatchObject({ healthy: false });
  expect(await healthz()).toBe(503);
  expect(await register.metrics()).toContain('etcd_election_unhealthy{election="e"} 1');

  work.resolve();
  await eventually(async () => expect(await healthz()).toBe(200), { withinMs: SOON_MS });
  await election.close();
  expect(copy.liveElections()).toEqual([]);
});

test('a later election of another copy replaces a failed one', async ({ client, prefix, log }) => {
  const copy = await secondCopy();
  const options = { prefix, logger: log.logger };
  const ours = client();
  const first = new Election(ours, 'again', options);
  await first.campaign(7 as never).catch(() => undefined);
  expect(copy.failedElections()).toEqual([first]);
  const second = new copy.Election(ours, 'again', options);
  void second.campaign('second');
  onTestFinished(() => second.close());
  await eventually(() => expect(liveElections()).toEqual([second]), { withinMs: SOON_MS });
  expect(failedElections()).toEqual([]);
  await second.close();
});

test('a process has one watchdog, whichever copy starts it', async () => {
  const copy = await secondCopy();
  const pending: AsyncDisposable[] = [];
  onTestFinished(async () => {
    for (const one of pending) await one[Symbol.asyncDispose]();
  });
  const first = startWatchdog({ log: false });
  pending.push(first);
  expect(() => pending.push(copy.startWatchdog({ log: false }))).toThrow('already running');
  const server = await copy.serveDiagnostics({ port: 0 }); // uses the running watchdog
  pending.push(server);
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  await server.close();
  expect(() => startWatchdog({ log: false })).toThrow('already running'); // the server has not closed it
  await first.close();
  await copy.startWatchdog({ log: false }).close();
  await startWatchdog({ log: false }).close();
});
