import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { startProxy } from 'etcd-election/dev';
import { electionTelemetry } from 'etcd-election/opentelemetry';
import { electionMetrics } from 'etcd-election/prometheus';
import * as promClient from 'prom-client';
import { expect } from 'vitest';
import { prometheusFolder, startPrometheus, type Sample } from '../support/prometheus.ts';
import { alertRules, dashboardExpressions, RULES } from '../support/promql.ts';
import { eventually } from '../support/eventually.ts';
import { SOON_MS, test } from '../support/world.ts';

// A real Prometheus scrapes one process through both exporters, prom-client and OpenTelemetry: it must see the same.

const folder = await prometheusFolder();

/** Labels that say where a series was scraped. */
const OF_THE_SCRAPE = new Set(['job', 'instance', 'otel_scope_name']);

const seriesOf = ({ metric }: Sample): string =>
  Object.entries(metric)
    .filter(([label]) => !OF_THE_SCRAPE.has(label))
    .map(([label, value]) => `${label}=${value}`)
    .toSorted()
    .join();

/** Serves both until it is disposed of. */
async function bothEntryPoints(): Promise<AsyncDisposable & { readonly targets: Record<string, string> }> {
  const registry = new promClient.Registry();
  const metrics = electionMetrics(promClient, { registry });
  const reader = new PrometheusExporter({ preventServerStart: true });
  const meterProvider = new MeterProvider({ readers: [reader] });
  const telemetry = electionTelemetry({ meterProvider });
  const servers = [
    createServer((_, response) => {
      const text = registry.metrics();
      void text.then((body) => response.setHeader('content-type', registry.contentType).end(body));
    }),
    createServer((request, response) => reader.getMetricsRequestHandler(request, response)),
  ] as const;
  const addresses: string[] = [];
  for (const server of servers) {
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    addresses.push(`127.0.0.1:${(server.address() as AddressInfo).port}`);
  }
  return {
    targets: { 'prom-client': addresses[0]!, opentelemetry: addresses[1]! },
    async [Symbol.asyncDispose]() {
      metrics.close();
      telemetry.close();
      await meterProvider.shutdown();
      for (const server of servers) {
        server.close();
        server.closeAllConnections();
      }
    },
  };
}

test.skipIf(folder === undefined)(
  'both entry points give the same series, and every expression has data',
  async ({ candidate, world }) => {
    await using proxy = await startProxy({ target: world.etcd.endpoints[0]! });
    await using entries = await bothEntryPoints();
    const { targets } = entries;
    await using prometheus = await startPrometheus(folder!, targets, RULES);
    const jobs = Object.keys(targets);

    const options = { election: 'e', ttlSeconds: 2, hosts: proxy.endpoint };
    const alice = candidate('alice', options);
    const bob = candidate('bob', options);
    const isSeen = async (metric: string, atLeast: number): Promise<void> => {
      await eventually(
        async () => {
          const samples = await prometheus.query(metric);
          return (
            samples.length === jobs.length &&
            samples.every(({ value: [, value] }) => Number(value) >= atLeast)
          );
        },
        { withinMs: 4 * SOON_MS },
      );
    };
    void alice.campaign();
    // Two rounds: a histogram of OpenTelemetry appears with its first value, so only the second value is an increase.
    for (const round of [1, 2]) {
      const first = await alice.elected();
      const [key] = await world.keys();
      await world.own.delete().key(key!);
      await isSeen('etcd_election_leaderless_duration_seconds_count', round);
      proxy.reset();
      await isSeen('etcd_election_watch_healing_seconds_count', round);
      const second = await alice.elected();
      expect(second.fencingToken).toBeGreaterThan(first.fencingToken);
      void bob.campaign();
      await bob.queued();
      await alice.election.stepDown();
      await bob.elected();
      await bob.election.resign();
    }
    await alice.elected();
    await isSeen('etcd_election_terms_started_total', 7);
    await isSeen('etcd_election_is_leader', 1);

    // Each job has its own moment of the scrape, and a scrape that a busy machine answers late leaves a job without data.
    const again = { withinMs: SOON_MS };
    await eventually(async () => {
      const seen = await Promise.all(
        jobs.map(async (job) => await prometheus.query(`{__name__=~"etcd_election_.+",job="${job}"}`)),
      );
      const [one, other] = seen.map((samples) => samples.map(seriesOf).toSorted());
      expect(one!.length).toBeGreaterThan(100);
      expect(other).toEqual(one);
    }, again);

    const all = [...dashboardExpressions(), ...alertRules().map(({ expr }) => expr)];
    for (const job of jobs)
      for (const expression of all.filter((text) => !text.includes('etcd_election_watchdog_')))
        await eventually(async () => {
          const samples = await prometheus.query(inJob(expression, job));
          expect(samples.length, `${job}: ${expression}`).toBeGreaterThan(0);
          for (const { value } of samples) expect(value[1], `${job}: ${expression}`).not.toBe('NaN');
        }, again);
    const troubled = (await prometheus.rules()).filter(({ health }) => health !== 'ok');
    expect(troubled).toEqual([]);
  },
);

/**
 * Restricts an expression to one job. Comparisons give 0 or 1, and both sides of `unless` have data, because an
 * alert has no data if all is well.
 */
const inJob = (expression: string, job: string): string =>
  expression
    .replaceAll(
      /\b(etcd_election_\w+)(\{)?/g,
      (_, metric: string, brace?: string) => `${metric}{job="${job}"${brace === undefined ? '}' : ','}`,
    )
    .replaceAll('$__rate_interval', '1m')
    .replaceAll(/=~"\$\w+"/g, '=~".*"')
    .replaceAll(',job=~".*"', '')
    .replaceAll(/ (==|<|>) (?!bool)/g, ' $1 bool ')
    .replaceAll(/\bunless\b/g, 'and');
