/**
 * etcd-election/opentelemetry: metrics of all elections of this process, and a span for each term.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import {
  context,
  metrics,
  SpanStatusCode,
  trace,
  type Attributes,
  type Context,
  type MeterProvider,
  type Observable,
  type Span,
  type TracerProvider,
} from '@opentelemetry/api';
import type { EventOf } from '../events.ts';
import type { EndCause, Term } from '../index.ts';
import { catalogue, type MetricKey } from './catalogue.ts';
import { Recorder } from './recorder.ts';

export interface OpenTelemetryOptions {
  /** Default: the global one. */
  meterProvider?: MeterProvider | undefined;
  /** Default: the global one. */
  tracerProvider?: TracerProvider | undefined;
}

export interface ElectionTelemetry extends Disposable {
  /**
   * The context of a term's span, for what is traced in its work:
   * `context.with(telemetry.contextOf(term), () => work(term))`. The active one where the term is not known.
   */
  contextOf(term: Pick<Term, 'election' | 'fencingToken'>): Context;
  /** Stops counting, and ends the spans of terms that go on. May be called again. */
  close(): void;
}

const SCOPE = 'etcd-election';

/** Ends that somebody chose; all others are a span's error. */
const CHOSEN: ReadonlySet<EndCause> = new Set(['stepped-down', 'resigned', 'closed', 'aborted']);

/**
 * Counts what the elections of this process do, and traces each term, from now on; docs/metrics.md lists both. Call it
 * once, before the first `campaign()`.
 */
export function electionTelemetry(options: OpenTelemetryOptions = {}): ElectionTelemetry {
  const stopCounting = countWith(options.meterProvider ?? metrics.getMeterProvider());
  const spans = new TermSpans(options.tracerProvider ?? trace.getTracerProvider());
  const close = (): void => {
    stopCounting();
    spans.close();
  };
  return { contextOf: (term) => spans.contextOf(term), close, [Symbol.dispose]: close };
}

function countWith(provider: MeterProvider): () => void {
  const meter = provider.getMeter(SCOPE);
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
  const recorder = new Recorder({
    record: (metric, value, labels) => instruments.get(metric)?.(value, labels),
    begin: (metric, labels) => {
      // A histogram that starts empty is nothing that OpenTelemetry knows.
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

const STARTED = 'etcd-election:term.started';
const ENDED = 'etcd-election:term.ended';

class TermSpans {
  readonly #tracer: ReturnType<TracerProvider['getTracer']>;
  readonly #open = new Map<string, Span>();

  constructor(provider: TracerProvider) {
    this.#tracer = provider.getTracer(SCOPE);
    subscribe(STARTED, this.#onStarted);
    subscribe(ENDED, this.#onEnded);
  }

  contextOf({ election, fencingToken }: Pick<Term, 'election' | 'fencingToken'>): Context {
    const span = this.#open.get(keyOf(election, fencingToken.toString()));
    return span === undefined ? context.active() : trace.setSpan(context.active(), span);
  }

  close(): void {
    unsubscribe(STARTED, this.#onStarted);
    unsubscribe(ENDED, this.#onEnded);
    for (const span of this.#open.values()) span.end();
    this.#open.clear();
  }

  readonly #onStarted = (message: unknown): void => {
    const { election, fencingToken, value, leaseId, clusterId } = message as EventOf<'term.started'>;
    const span = this.#tracer.startSpan(`lead ${election}`, {
      root: true, // a term belongs to no request that happens to be under way
      attributes: {
        'etcd.election.name': election,
        'etcd.election.fencing_token': fencingToken,
        'etcd.election.value': value,
        'etcd.election.lease_id': leaseId,
        ...(clusterId !== undefined && { 'etcd.cluster_id': clusterId }),
      },
    });
    this.#open.set(keyOf(election, fencingToken), span);
  };

  readonly #onEnded = (message: unknown): void => {
    const { election, fencingToken, reason } = message as EventOf<'term.ended'>;
    const key = keyOf(election, fencingToken);
    const span = this.#open.get(key);
    if (span === undefined) return; // it began before we looked
    this.#open.delete(key);
    span.setAttribute('etcd.election.reason', reason);
    if (!CHOSEN.has(reason)) span.setStatus({ code: SpanStatusCode.ERROR, message: reason });
    span.end();
  };
}

const keyOf = (election: string, fencingToken: string): string => `${election}\0${fencingToken}`;
