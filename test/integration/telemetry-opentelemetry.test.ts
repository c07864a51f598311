import { channel } from 'node:diagnostics_channel';
import { context, trace } from '@opentelemetry/api';
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
import { channelNames } from 'etcd-election';
import { electionTelemetry } from 'etcd-election/opentelemetry';
import { describe, expect, onTestFinished } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { SOON_MS, test } from '../support/world.ts';

const hasSubscribers = (): string[] =>
  [...channelNames, 'etcd-election:runaway'].filter((name) => channel(name).hasSubscribers);

describe('OpenTelemetry', () => {
  function telemetry() {
    const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
    const meterProvider = new MeterProvider({
      readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })],
    });
    const spans = new InMemorySpanExporter();
    const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] });
    const election = electionTelemetry({ meterProvider, tracerProvider });
    onTestFinished(async () => {
      election.close();
      await meterProvider.shutdown();
    });
    const read = async (): Promise<Map<string, unknown>> => {
      exporter.reset();
      await meterProvider.forceFlush();
      const values = new Map<string, unknown>();
      for (const { scopeMetrics } of exporter.getMetrics())
        for (const { metrics } of scopeMetrics)
          for (const { descriptor, dataPoints } of metrics)
            for (const { attributes, value } of dataPoints)
              values.set(`${descriptor.name} ${JSON.stringify(attributes)}`, value);
      return values;
    };
    return { election, spans, read };
  }

  test('the same figures under its own names', async ({ candidate }) => {
    const { read } = telemetry();
    const alice = candidate('alice');
    await alice.campaign();

    const during = await read();
    expect(during.get('etcd.election.is_leader {"election":"e"}')).toBe(1);
    expect(during.get('etcd.election.terms.started {"election":"e"}')).toBe(1);
    expect(
      during.get('etcd.election.guard.rounds {"election":"e","loop":"campaign"}'),
    ).toBeGreaterThanOrEqual(1);
    await alice.election.close();

    const after = await read();
    expect(after.get('etcd.election.is_leader {"election":"e"}')).toBe(0);
    expect(after.get('etcd.election.terms.ended {"election":"e","reason":"closed"}')).toBe(1);
    expect(after.get('etcd.election.term.duration.seconds {"election":"e"}')).toMatchObject({ count: 1 });
  });

  test('a term is a span at once, its work is traced in it, and its hand-over is a span', async ({
    candidate,
    world,
  }) => {
    const { election, spans } = telemetry();
    const named = (name: string) => spans.getFinishedSpans().filter((span) => span.name === name);
    const tracer = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }).getTracer(
      'test',
    );
    const alice = candidate('alice', {
      onLeader: (term) => tracer.startSpan('work', {}, election.contextOf(term)).end(),
    });
    const term = await alice.campaign();
    await eventually(() => named('work').length === 1, { withinMs: SOON_MS });
    // The term continues. If the process died now, these spans would remain.
    const [lead] = named('lead e');
    expect(lead).toMatchObject({
      attributes: {
        'etcd.election.name': 'e',
        'etcd.election.fencing_token': String(term.fencingToken),
        'etcd.election.value': 'alice',
        'etcd.election.lease_id': term.leaseId,
      },
      status: { code: 0 },
      parentSpanContext: undefined,
    });
    expect(named('work')[0]!.parentSpanContext?.spanId).toBe(lead!.spanContext().spanId);

    const [key] = await world.keys();
    await world.own.delete().key(key!);
    await eventually(() => named('hand over e').length === 1, { withinMs: SOON_MS });
    const [handover] = named('hand over e');
    expect(handover).toMatchObject({
      attributes: { 'etcd.election.name': 'e', 'etcd.election.reason': 'evicted' },
      status: { code: 2, message: 'evicted' },
    });
    expect(handover!.spanContext().traceId).toBe(lead!.spanContext().traceId);
    expect(trace.getSpan(election.contextOf(term))).toBe(trace.getSpan(context.active())); // after the end there is no span
    await alice.election.close();
    const last = named('hand over e').at(-1)!;
    expect(last.status.code).toBe(last.attributes['etcd.election.reason'] === 'closed' ? 0 : 2);
  });

  test('a fault during a term is a span at once; during the hand-over it is an event', async ({
    candidate,
  }) => {
    const { spans } = telemetry();
    const named = (name: string) => spans.getFinishedSpans().filter((span) => span.name === name);
    let isAsked = 0;
    const alice = candidate('alice', {
      onLeader: (term) => {
        term.every(20, () => {
          throw new Error(`no luck: ${++isAsked}`);
        });
        term.onEnd(() => {
          throw new Error('no clean end');
        });
      },
    });
    await alice.campaign().catch(() => undefined);
    await eventually(() => named('hand over e').length > 0, { withinMs: SOON_MS });
    const [lead] = named('lead e');
    const [handover] = named('hand over e');
    const failures = [
      ...named('callback.failed e'),
      ...handover!.events.filter(({ name }) => name === 'callback.failed'),
    ];
    expect(failures.length).toBeGreaterThan(0);
    expect(named('callback.failed e').length).toBeLessThanOrEqual(32);
    for (const span of named('callback.failed e'))
      expect(named('lead e').map((one) => one.spanContext().traceId)).toContain(span.spanContext().traceId);
    expect(lead!.spanContext().traceId).toBe(handover!.spanContext().traceId);
  });

  test('close() leaves nothing behind', () => {
    const before = hasSubscribers();
    const { election } = telemetry();
    election.close();
    election.close();
    expect(hasSubscribers()).toEqual(before);
  });
});
