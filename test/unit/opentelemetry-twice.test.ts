import { channel } from 'node:diagnostics_channel';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { electionTelemetry } from 'etcd-election/opentelemetry';
import { expect, onTestFinished, test } from 'vitest';

function providers() {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const meterProvider = new MeterProvider({
    readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })],
  });
  onTestFinished(() => meterProvider.shutdown());
  const spans = new InMemorySpanExporter();
  const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] });
  const terms = async (): Promise<unknown> => {
    exporter.reset();
    await meterProvider.forceFlush();
    const [read] = exporter.getMetrics();
    const all = read?.scopeMetrics.flatMap((scope) => scope.metrics);
    return all?.find(({ descriptor }) => descriptor.name === 'etcd.election.terms.started')?.dataPoints[0]
      ?.value;
  };
  return { options: { meterProvider, tracerProvider }, spans, terms };
}

let token = 0;
const startTerm = (): void =>
  channel('etcd-election:term.started').publish({
    type: 'term.started',
    election: 'e',
    fencingToken: String(++token),
    value: 'v',
    leaseId: '7',
    clusterId: undefined,
  });

test('electionTelemetry() called twice counts and traces every term once, until the last close()', async () => {
  const { options, spans, terms } = providers();
  const first = electionTelemetry(options);
  const second = electionTelemetry(options);
  startTerm();
  expect(await terms()).toBe(1);
  expect(spans.getFinishedSpans()).toHaveLength(1);

  first.close();
  first.close();
  startTerm();
  expect(await terms()).toBe(2);
  expect(spans.getFinishedSpans()).toHaveLength(2);

  second.close();
  expect(channel('etcd-election:term.started').hasSubscribers).toBe(false);
});

test('electionTelemetry() for two providers counts in each of them', async () => {
  const [one, other] = [providers(), providers()];
  using _first = electionTelemetry(one.options);
  using _second = electionTelemetry(other.options);
  startTerm();
  expect([await one.terms(), await other.terms()]).toEqual([1, 1]);
});
