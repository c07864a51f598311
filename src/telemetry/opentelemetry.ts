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
  /** The provider for the metrics. Default: the global meter provider. */
  meterProvider?: MeterProvider | undefined;
  /** The provider for the spans. Default: the global tracer provider. */
  tracerProvider?: TracerProvider | undefined;
}

export interface ElectionTelemetry extends Disposable {
  /**
   * The context of a term, for spans of its work: `context.with(telemetry.contextOf(term), () => work(term))`. Spans
   * started in this context become children of the span that marks the start of the term. If the term is unknown, or its
   * hand-over is finished, the active context is returned.
   */
  contextOf(term: Pick<Term, 'election' | 'fencingToken'>): Context;
  /**
   * Stops counting, and ends the spans of hand-overs under way. If `electionTelemetry()` was called several times for one
   * provider, only the last `close()` has this effect. May be called again.
   */
  close(): void;
}

const SCOPE = 'etcd-election';

/**
 * Records metrics of the elections of this process, and traces their terms. docs/metrics.md lists both. Call it once, before
 * the first `campaign()`. If you call it several times for one provider, every event still counts once.
 */
export function electionTelemetry(options: OpenTelemetryOptions = {}): ElectionTelemetry {
  const counting = countings.join(options.meterProvider ?? metrics.getMeterProvider());
  const tracing = tracings.join(options.tracerProvider ?? trace.getTracerProvider());
  const close = (): void => {
    counting.leave();
    tracing.leave();
  };
  return { contextOf: (term) => tracing.value.contextOf(term), close, [Symbol.dispose]: close };
}

/** Makes one value for each provider, which all callers share. With two values, every event would count twice. */
class OnePerProvider<P extends object, T extends { close(): void }> {
  readonly #make: (provider: P) => T;
  readonly #made = new Map<P, { readonly value: T; readonly users: Set<symbol> }>();

  constructor(make: (provider: P) => T) {
    this.#make = make;
  }

  /** @returns the value, and a function that closes it if no other caller uses it. */
  join(provider: P): { readonly value: T; leave(): void } {
    const made = this.#made.get(provider) ?? { value: this.#make(provider), users: new Set() };
    this.#made.set(provider, made);
    const user = Symbol();
    made.users.add(user);
    const leave = (): void => {
      if (!made.users.delete(user) || made.users.size > 0) return;
      this.#made.delete(provider);
      made.value.close();
    };
    return { value: made.value, leave };
  }
}

const countings = new OnePerProvider((provider: MeterProvider) => ({ close: countWith(provider) }));
const tracings = new OnePerProvider((provider: TracerProvider) => new TermSpans(provider, SCOPE));

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
