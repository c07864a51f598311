import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { channel } from 'node:diagnostics_channel';
import { channelNames, failedElections } from 'etcd-election';
import { electionMetrics } from 'etcd-election/prometheus';
import * as promClient from 'prom-client';
import { describe, expect, onTestFinished } from 'vitest';
import { snapshotOf } from '../../src/diagnostics/elections.ts';
import { ownElections } from '../../src/diagnostics/own-elections.ts';
import { ledTerms } from '../../src/diagnostics/watchdog/led-terms.ts';
import { withWatchdogMetrics } from '../../src/diagnostics/watchdog/watchdog-metrics.ts';
import { catalogue, prometheusName } from '../../src/telemetry/catalogue.ts';
import { eventually } from '../support/eventually.ts';
import { ROOT } from '../support/programs.ts';
import { alertRules, dashboardExpressions } from '../support/promql.ts';
import { SOON_MS, test, TTL_SECONDS } from '../support/world.ts';

/** `/metrics` as a scrape reads it: values by series. */
async function scrape(registry: promClient.Registry): Promise<Map<string, number>> {
  const text = await registry.metrics();
  const series = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    series.map((line) => [
      line.slice(0, line.lastIndexOf(' ')),
      Number(line.slice(line.lastIndexOf(' ') + 1)),
    ]),
  );
}

function prometheus(): promClient.Registry {
  const registry = new promClient.Registry();
  const metrics = electionMetrics(promClient, { registry });
  onTestFinished(() => metrics.close());
  return registry;
}

const hasSubscribers = (): string[] =>
  [...channelNames, 'etcd-election:runaway'].filter((name) => channel(name).hasSubscribers);

describe('Prometheus', () => {
  test('an old handle removes no metrics of a newer one, after the registry was cleared', async () => {
    const registry = new promClient.Registry();
    const old = electionMetrics(promClient, { registry });
    registry.clear();
    const fresh = electionMetrics(promClient, { registry });
    const names = registry.getMetricsAsArray().map(({ name }) => name);
    old.close();
    expect(registry.getMetricsAsArray().map(({ name }) => name)).toEqual(names);
    fresh.close();
    expect(registry.getMetricsAsArray()).toEqual([]);
  });

  test('a scrape or a page does not count as use of the term', async ({ world, log }) => {
    const registry = prometheus();
    const election = world.election(world.client());
    await election.campaign();
    for (let i = 0; i < 5; i++) {
      await scrape(registry);
      expect(snapshotOf(ownElections).elections).toMatchObject([{ state: 'leading' }]);
    }
    expect(ledTerms(ownElections)).toHaveLength(1);
    await election.close();
    expect(log.of('usage.unusual')).toMatchObject([{ usage: 'unasked-term' }]);
  });

  test('shows the leader, and how terms end', async ({ candidate }) => {
    const registry = prometheus();
    const alice = candidate('alice', { election: 'one' });
    const bob = candidate('bob', { election: 'one' });
    const other = candidate('carol', { election: 'two' });
    await alice.campaign();
    void bob.campaign();
    await bob.queued();
    await other.campaign();

    const during = await scrape(registry);
    expect(during.get('etcd_election_is_leader{election="one"}')).toBe(1);
    expect(during.get('etcd_election_is_leader{election="two"}')).toBe(1);
    expect(during.get('etcd_election_queue_position{election="one"}')).toBe(1);
    expect(during.get('etcd_election_leader_known{election="one"}')).toBe(1);
    expect(during.get('etcd_election_unhealthy{election="one"}')).toBe(0);
    expect(during.get('etcd_election_term_remaining_seconds{election="one"}')).toBeGreaterThan(0);
    expect(during.get('etcd_election_term_remaining_seconds{election="one"}')).toBeLessThanOrEqual(
      TTL_SECONDS,
    );
    expect(during.get('etcd_election_lease_ttl_seconds')).toBe(TTL_SECONDS);
    expect(during.get('etcd_election_terms_started_total{election="one"}')).toBe(1);
    expect(during.get('etcd_election_guard_tripped{election="one",origin="caller"}')).toBe(0);
    expect(
      during.get('etcd_election_guard_rounds_total{election="one",loop="campaign"}'),
    ).toBeGreaterThanOrEqual(2);

    await alice.election.resign();
    await bob.elected();
    await bob.election.close();
    await other.election.close();

    const after = await scrape(registry);
    expect(after.get('etcd_election_is_leader{election="one"}')).toBe(0);
    expect(after.get('etcd_election_is_leader{election="two"}')).toBe(0);
    // Without a campaign there is no position, rather than a wrong one.
    expect(after.has('etcd_election_queue_position{election="one"}')).toBe(false);
    expect(after.has('etcd_election_leader_known{election="two"}')).toBe(false);
    expect(after.get('etcd_election_terms_ended_total{election="one",reason="resigned"}')).toBe(1);
    expect(after.get('etcd_election_terms_ended_total{election="one",reason="closed"}')).toBe(1);
    expect(after.get('etcd_election_campaigns_ended_total{election="one",reason="resigned"}')).toBe(1);
    expect(after.get('etcd_election_term_duration_seconds_count{election="one"}')).toBe(2);
    expect(after.get('etcd_election_handover_duration_seconds_count{election="one"}')).toBe(2);
    expect(after.get('etcd_election_handover_duration_seconds_sum{election="one"}')).toBeLessThan(
      SOON_MS / 1000,
    );
    expect(after.get('etcd_election_lease_ttl_seconds')).toBe(0);
  });

  test('shows renewals, evictions and the time without a leader', async ({ candidate, world }) => {
    const registry = prometheus();
    const alice = candidate('alice');
    await alice.campaign();
    const [key] = await world.keys();

    await world.own.delete().key(key!);
    await eventually(() => alice.election.status.state === 'leading', { withinMs: 2 * SOON_MS });
    await eventually(
      async () => (await scrape(registry)).get('etcd_election_renewal_round_trip_seconds_count')! > 0,
      { withinMs: SOON_MS },
    );

    const seen = await scrape(registry);
    expect(seen.get('etcd_election_terms_ended_total{election="e",reason="evicted"}')).toBe(1);
    expect(seen.get('etcd_election_leaderless_duration_seconds_count{election="e"}')).toBe(1);
    const headroom =
      seen.get('etcd_election_renewal_headroom_seconds_sum')! /
      seen.get('etcd_election_renewal_headroom_seconds_count')!;
    expect(headroom).toBeGreaterThan(0);
    expect(headroom).toBeLessThan(TTL_SECONDS);
  });

  test('shows counters at zero first, because increase() would miss the first count', async ({
    candidate,
  }) => {
    const registry = prometheus();
    expect((await scrape(registry)).get('etcd_election_runaways_total{verdict="starved"}')).toBe(0);
    expect((await scrape(registry)).get('etcd_election_leases_lost_total{reason="lease-lost"}')).toBe(0);
    await candidate('alice').campaign();
    const bob = candidate('bob');
    void bob.campaign();
    await bob.queued();
    void candidate('carol', { election: 'other' }).campaign();

    const seen = await scrape(registry);
    for (const series of [
      'campaigns_ended_total{election="e",reason="refused"}',
      'candidacies_failed_total{election="e"}',
      'candidacies_lost_total{election="e",reason="evicted"}',
      'callbacks_failed_total{election="e",callback="onLeader"}',
      'guard_trips_total{election="e",origin="caller"}',
      'terms_ended_total{election="e",reason="work-failed"}',
      'drains_overdue_total{election="e"}',
      'releases_failed_total{election="e"}',
      'term_duration_seconds_count{election="e"}',
      'handover_duration_seconds_bucket{le="10",election="e"}',
      'leaderless_duration_seconds_count{election="e"}',
    ])
      expect(seen.get(`etcd_election_${series}`), series).toBe(0);
    expect(seen.get('etcd_election_terms_started_total{election="e"}')).toBe(1);
  });

  test('cluster mode: one correct value of each gauge for all workers', async ({ candidate }) => {
    const registry = prometheus();
    const alice = candidate('alice');
    await alice.campaign();
    const leader = await registry.getMetricsAsJSON();
    /** The metrics of a worker in trouble: it campaigns, is in no queue, and knows no leader. */
    const cutOff = leader.map((metric) => ({
      ...metric,
      values: metric.values.map((one) => ({
        ...one,
        value: ['unhealthy', 'guard_tripped'].some((name) => metric.name === `etcd_election_${name}`) ? 1 : 0,
      })),
    }));
    const seen = await scrape(
      promClient.AggregatorRegistry.aggregate([leader, cutOff] as unknown as promClient.Metric[]),
    );
    const value = (metric: string): number | undefined => seen.get(`etcd_election_${metric}{election="e"}`);
    expect(value('is_leader')).toBe(1);
    expect(value('leader_known')).toBe(0);
    expect(value('queue_position')).toBe(0);
    expect(value('unhealthy')).toBe(1);
    expect(seen.get('etcd_election_guard_tripped{election="e",origin="caller"}')).toBe(1);
    expect(value('term_remaining_seconds')).toBeGreaterThan(1);
    expect(value('term_remaining_seconds')).toBeLessThanOrEqual(TTL_SECONDS);
    expect(value('terms_started_total')).toBe(1);
    expect(seen.get('etcd_election_lease_ttl_seconds')).toBe(TTL_SECONDS);

    // Two workers that both believe they lead are visible.
    const twice = await scrape(
      promClient.AggregatorRegistry.aggregate([leader, leader] as unknown as promClient.Metric[]),
    );
    expect(twice.get('etcd_election_is_leader{election="e"}')).toBe(2);
    expect(twice.get('etcd_election_queue_position{election="e"}')).toBe(1);
    expect(twice.get('etcd_election_lease_ttl_seconds')).toBe(TTL_SECONDS);
  });

  test('the prefix and the cluster distinguish elections of one name', async ({ candidate }) => {
    const registry = prometheus();
    const infos = async (): Promise<string[]> =>
      [...(await scrape(registry)).keys()].filter((key) => key.startsWith('etcd_election_info'));
    const alice = candidate('alice');
    const campaign = alice.campaign();
    // etcd has not answered yet. OpenTelemetry would keep a series without the ID for good.
    expect(await infos()).toEqual([]);
    await campaign;
    const { prefix, clusterId } = alice.election.status;
    expect(clusterId).toMatch(/^[0-9]+$/);
    expect(await infos()).toEqual([
      `etcd_election_info{election="e",prefix="${prefix}",cluster_id="${clusterId}"}`,
    ]);
    await alice.election.close();
    expect(await infos()).toEqual([]);
  });

  test('a campaign that was refused for good stays unhealthy until close()', async ({ client, election }) => {
    const registry = prometheus();
    const gone = client();
    gone.close();
    const one = election(gone, 'e');
    await one.campaign().catch(() => undefined);
    const unhealthy = async (): Promise<unknown> =>
      (await scrape(registry)).get('etcd_election_unhealthy{election="e"}');
    await eventually(async () => (await unhealthy()) === 1, { withinMs: SOON_MS });
    expect(failedElections()).toContain(one);
    // In one turn of the event loop, a second scrape reads the values again.
    const before = unhealthy();
    const closing = one.close();
    const after = unhealthy();
    expect([await before, await after]).toEqual([1, 0]);
    await closing;
    expect(failedElections()).not.toContain(one);
  });

  test('counts failed writes by outcome', async () => {
    const registry = prometheus();
    const failed = channel('etcd-election:write.failed');
    const event = { type: 'write.failed', election: 'w', fencingToken: '1', reason: 'space exceeded' };
    failed.publish({ ...event, failures: 1, unknownOutcomes: 0 });
    failed.publish({ ...event, failures: 5, unknownOutcomes: 2 });
    const seen = await scrape(registry);
    expect(seen.get('etcd_election_writes_failed_total{election="w",outcome="not-written"}')).toBe(4);
    expect(seen.get('etcd_election_writes_failed_total{election="w",outcome="unknown"}')).toBe(2);
  });

  test('counts the reports of the watchdog', async () => {
    const registry = prometheus();
    channel('etcd-election:runaway').publish({ verdict: 'hot' });
    expect((await scrape(registry)).get('etcd_election_runaways_total{verdict="hot"}')).toBe(1);
  });

  test('close() leaves nothing behind, and start works again', async () => {
    const before = hasSubscribers();
    const registry = new promClient.Registry();
    for (let round = 0; round < 3; round++) {
      using metrics = electionMetrics(promClient, { registry });
      expect(hasSubscribers().length).toBe(channelNames.length + 1);
      metrics.close();
      expect(hasSubscribers()).toEqual(before);
      expect(await registry.metrics()).toBe('\n');
    }
  });

  test('a name that is taken is reported, and leaves nothing behind', () => {
    const registry = new promClient.Registry();
    new promClient.Gauge({ name: 'etcd_election_lease_ttl_seconds', help: 'taken', registers: [registry] });
    const before = hasSubscribers();
    expect(() => electionMetrics(promClient, { registry })).toThrow(/already been registered/);
    expect(hasSubscribers()).toEqual(before);
    expect(registry.getMetricsAsArray().length).toBe(1);
  });

  test('names and types follow the rules of Prometheus', async () => {
    const registry = prometheus();
    const described = await registry.getMetricsAsJSON();
    expect(described.map(({ name }) => name).toSorted()).toEqual(
      Object.values(catalogue).map(prometheusName).toSorted(),
    );
    for (const { name, type, help } of described) {
      expect(name).toMatch(/^etcd_election_[a-z_]+$/);
      expect(name.endsWith('_total'), name).toBe(String(type) === 'counter');
      expect(name).not.toMatch(/_(count|sum|bucket|(?<!^etcd_election)_info|ms|milliseconds)(_total)?$/);
      expect(help.length).toBeGreaterThan(10);
    }
  });
});

describe('the dashboard and the alerts', () => {
  /** Every metric in a PromQL expression. */
  const named = (expression: string): string[] => expression.match(/etcd_election_[a-z_]+/g) ?? [];

  const promql = (): string[] => [...dashboardExpressions(), ...alertRules().map(({ expr }) => expr)];

  test('use only names that /metrics prints', async () => {
    const registry = prometheus();
    const printed = new Set<string>();
    for (const { name, type } of await registry.getMetricsAsJSON()) {
      printed.add(name);
      if (String(type) === 'histogram')
        for (const suffix of ['bucket', 'sum', 'count']) printed.add(`${name}_${suffix}`);
    }
    // The metrics of the watchdog, which the main thread does not serve.
    const ofTheWatchdog = withWatchdogMetrics('', false, {
      starved: 0,
      hot: 0,
      rounds: 0,
      blocked: 0,
      saturated: 0,
    });
    for (const [name] of ofTheWatchdog.matchAll(/\betcd_election_\w+/g)) printed.add(name);
    const expressions = promql();
    expect(expressions.length).toBeGreaterThan(45);
    const docs = readFileSync(join(ROOT, 'docs/metrics.md'), 'utf8');
    for (const text of [...expressions, docs])
      for (const name of named(text)) expect(printed, text.slice(0, 200)).toContain(name);
    for (const metric of Object.values(catalogue)) expect(docs).toContain(`\`${prometheusName(metric)}\``);
    for (const metric of Object.values(catalogue)) expect(docs).toContain(`\`${metric.name}\``);
  });

  test('use only existing labels and label values', async ({ candidate }) => {
    const registry = prometheus();
    const alice = candidate('alice');
    await alice.campaign();
    const values = new Map<string, Set<string>>();
    for (const series of (await scrape(registry)).keys())
      for (const [, label = '', value = ''] of series.matchAll(/(\w+)="([^"]*)"/g))
        values.set(label, (values.get(label) ?? new Set()).add(value));
    const expressions = promql();
    const ofTargets = ['cluster', 'namespace', 'job', 'prefix', 'instance'];
    for (const expression of expressions) {
      const labels = Object.values(catalogue)
        .filter((metric) => expression.includes(prometheusName(metric)))
        .flatMap((metric) => [...metric.labels, ...(metric.kind === 'histogram' ? ['le'] : [])])
        .concat(ofTargets);
      for (const [, , list = ''] of expression.matchAll(/\b(by|without|ignoring|on) \(([^)]*)\)/g))
        for (const label of list.split(', ')) expect(labels, expression).toContain(label);
      for (const [, label = '', value = ''] of expression.matchAll(/(\w+)(?:=~?|!~)"([^"]*)"/g)) {
        expect(labels, expression).toContain(label);
        for (const one of value.split('|'))
          if (!one.startsWith('$')) expect([...values.get(label)!], expression).toContain(one);
      }
    }
  });
});
