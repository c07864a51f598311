/**
 * etcd-election/opentelemetry: metrics of all elections of this process, and spans of their terms.
 */
import {
  metrics,
  trace,
  type Attributes,
  type Context,
  type Meter,
  type MeterProvider,
  type Observable,
  type TracerProvider,
} from '@opentelemetry/api';
import type { Term } from '../index.ts';
import { catalogue, type MetricKey } from './catalogue.ts';
import { Recorder } from './recorder.ts';
import { TermSpans } from './term-spans.ts';

export interface OpenTelemetryOptions {
  /** Default: the global one. */
  meterProvider?: MeterProvider | undefined;
  /** Default: the global one. */
  tracerProvider?: TracerProvider | undefined;
}

export interface ElectionTelemetry extends Disposable {
  /**
   * The context of a term, for spans of its work: `context.with(telemetry.contextOf(term), () => work(term))`. Spans started
   * in this context become children of the span that marks the start of the term. If the term is unknown or over, this is the
   * active context.
   */
  contextOf(term: Pick<Term, 'election' | 'fencingToken'>): Context;
  /** Stops counting, and ends the spans of hand-overs under way. May be called again. */
  close(): void;
}

const SCOPE = 'etcd-election';

/**
 * Records metrics of the elections of this process, and traces their terms. docs/metrics.md lists both. Call it once, before
 * the first `campaign()`.
 */
export function electionTelemetry(options: OpenTelemetryOptions = {}): ElectionTelemetry {
  const stopCounting = countWith(options.meterProvider ?? metrics.getMeterProvider());
  const spans = new TermSpans(options.tracerProvider ?? trace.getTracerProvider(), SCOPE);
  const close = (): void => {
    stopCounting();
    spans.close();
  };
  return { contextOf: (term) => spans.contextOf(term), close, [Symbol.dispose]: close };
}

interface Instruments {
  /** Counters and histograms. */
  readonly instruments: ReadonlyMap<MetricKey, (value: number, attributes: Attributes) => void>;
  /** Gauges and totals. */
  readonly observables: ReadonlyMap<MetricKey, Observable>;
}

function createInstruments(meter: Meter): Instruments {
  const instruments = new Map<MetricKey, (value: number, attributes: Attributes) => void>();
  const observables = new Map<MetricKey, Observable>();
  for (const key of Object.keys(catalogue) as MetricKey[]) {
    const { kind, name, help: description, unit, buckets } = catalogue[key];
    switch (kind) {
      case 'counter': {
        const counter = meter.createCounter(name, { description, unit });
        instruments.set(key, (value, attributes) => counter.add(value, attributes));
        break;
      }
      case 'histogram': {
        const advice = { explicitBucketBoundaries: [...(buckets ?? [])] };
        const histogram = meter.createHistogram(name, { description, unit, advice });
        instruments.set(key, (value, attributes) => histogram.record(value, attributes));
        break;
      }
      case 'gauge':
        observables.set(key, meter.createObservableGauge(name, { description, unit }));
        break;
      case 'total':
        observables.set(key, meter.createObservableCounter(name, { description, unit }));
        break;
    }
  }
  return { instruments, observables };
}

function countWith(provider: MeterProvider): () => void {
  const meter = provider.getMeter(SCOPE);
  const { instruments, observables } = createInstruments(meter);
  const recorder = new Recorder({
    record: (metric, value, labels) => instruments.get(metric)?.(value, labels),
    begin: (metric, labels) => {
      // OpenTelemetry has no empty histograms, so only counters start at 0.
      if (catalogue[metric].kind === 'counter') instruments.get(metric)?.(0, labels);
    },
  });
  recorder.start();
  const observed = [...observables.values()];
  const read: Parameters<typeof meter.addBatchObservableCallback>[0] = (result) => {
    for (const { metric, value, labels } of recorder.read()) {
      const observable = observables.get(metric);
      if (observable !== undefined) result.observe(observable, value, labels);
    }
  };
  meter.addBatchObservableCallback(read, observed);
  return () => {
    recorder[Symbol.dispose]();
    meter.removeBatchObservableCallback(read, observed);
  };
}
