/**
 * etcd-election/prometheus: metrics of all elections of this process, for prom-client.
 */
import { nextTurn } from '../util/clock.ts';
import { catalogue, prometheusName, type Metric, type MetricKey } from './catalogue.ts';
import { Recorder, type Labels, type Reading } from './recorder.ts';

/** The part of prom-client that this module uses. You install prom-client, in any version that has this shape. */
export interface PromClient<Registry = unknown> {
  readonly Counter: new (configuration: PromConfiguration<Registry>) => PromCounter;
  readonly Gauge: new (configuration: PromConfiguration<Registry>) => PromGauge;
  readonly Histogram: new (configuration: PromConfiguration<Registry>) => PromHistogram;
  readonly register: Registry;
}

export interface PromConfiguration<Registry> {
  name: string;
  help: string;
  labelNames: string[];
  registers: Registry[];
  buckets?: number[];
  /** How the values of several workers are combined in cluster mode. */
  aggregator?: 'sum' | 'min' | 'max';
  collect?: () => void;
}

export interface PromCounter {
  inc(labels: Record<string, string>, value?: number): void;
  remove(labels: Record<string, string>): void;
  reset(): void;
}

export interface PromGauge {
  reset(): void;
  set(labels: Record<string, string>, value: number): void;
}

export interface PromHistogram {
  observe(labels: Record<string, string>, value: number): void;
  remove(labels: Record<string, string>): void;
  zero(labels: Record<string, string>): void;
}

export interface PromRegistry {
  getSingleMetric(name: string): unknown;
  removeSingleMetric(name: string): void;
}

export interface PrometheusOptions<Registry> {
  /** The registry of the metrics. Default: prom-client's own `register`. */
  registry?: Registry | undefined;
}

export interface ElectionMetrics extends Disposable {
  /** Stops counting, and removes the metrics of this call from the registry. May be called again. */
  close(): void;
}

/**
 * Records metrics of the elections of this process. docs/metrics.md lists them. Call it once, before the first
 * `campaign()`.
 *
 * ```ts
 * import * as promClient from 'prom-client';
 * const metrics = electionMetrics(promClient);
 * ```
 *
 * @param promClient the module prom-client, or an object of the same shape.
 * @throws the error of prom-client if a metric of the same name is already registered.
 */
export function electionMetrics<Registry extends PromRegistry>(
  promClient: PromClient<Registry>,
  options: PrometheusOptions<Registry> = {},
): ElectionMetrics {
  const registry = options.registry ?? promClient.register;
  const instruments = new Map<MetricKey, Instrument>();
  const recorder = new Recorder({
    record: (metric, value, labels) => instruments.get(metric)?.record(value, labels),
    begin: (metric, labels) => instruments.get(metric)?.begin(labels),
    forget: (metric, labels) => instruments.get(metric)?.forget(labels),
  });
  const registered = new Map<string, unknown>();
  const close = (): void => {
    recorder[Symbol.dispose]();
    for (const [name, ours] of registered) {
      // After `registry.clear()`, metrics of the same names may belong to a newer call.
      if (registry.getSingleMetric(name) === ours) registry.removeSingleMetric(name);
    }
    registered.clear();
  };
  const readingsOf = scrapeReader(recorder);
  try {
    for (const key of Object.keys(catalogue) as MetricKey[]) {
      const metric = catalogue[key];
      const configuration = configurationOf(metric, registry);
      instruments.set(
        key,
        instrument(promClient, metric, configuration, () => readingsOf(key)),
      );
      registered.set(configuration.name, registry.getSingleMetric(configuration.name));
    }
  } catch (error) {
    close();
    throw error;
  }
  recorder.start();
  return { close, [Symbol.dispose]: close };
}

/** When a scrape reads its first metric, we read all gauges and totals. A second read of one metric means a new scrape. */
function scrapeReader(recorder: Recorder): (key: MetricKey) => readonly Reading[] {
  let readings: Map<MetricKey, Reading[]> | undefined;
  const taken = new Set<MetricKey>();
  return (key) => {
    if (readings === undefined || taken.has(key)) {
      if (readings === undefined) nextTurn(() => (readings = undefined));
      readings = byMetric(recorder.read());
      taken.clear();
    }
    taken.add(key);
    return readings.get(key) ?? [];
  };
}

interface Instrument {
  readonly record: (value: number, labels: Labels) => void;
  /** Shows the metric with the value 0. */
  readonly begin: (labels: Labels) => void;
  readonly forget: (labels: Labels) => void;
}

const nothing = (): void => {};

function instrument<Registry>(
  { Counter, Gauge, Histogram }: PromClient<Registry>,
  metric: Metric,
  configuration: PromConfiguration<Registry>,
  read: () => readonly Reading[],
): Instrument {
  switch (metric.kind) {
    case 'counter': {
      const counter = new Counter(configuration);
      return {
        record: (value, labels) => counter.inc({ ...labels }, value),
        begin: (labels) => counter.inc({ ...labels }, 0),
        forget: (labels) => counter.remove({ ...labels }),
      };
    }
    case 'histogram': {
      const histogram = new Histogram({ ...configuration, buckets: [...(metric.buckets ?? [])] });
      return {
        record: (value, labels) => histogram.observe({ ...labels }, value),
        begin: (labels) => histogram.zero({ ...labels }),
        forget: (labels) => histogram.remove({ ...labels }),
      };
    }
    case 'gauge': {
      const gauge: PromGauge = new Gauge({
        ...configuration,
        collect: () => {
          gauge.reset(); // removes the series of elections that are gone
          for (const { value, labels } of read()) gauge.set({ ...labels }, value);
        },
      });
      return { record: (value, labels) => gauge.set({ ...labels }, value), begin: nothing, forget: nothing };
    }
    case 'total': {
      const total: PromCounter = new Counter({
        ...configuration,
        collect: () => {
          total.reset();
          for (const { value, labels } of read()) total.inc({ ...labels }, value);
        },
      });
      return { record: (value, labels) => total.inc({ ...labels }, value), begin: nothing, forget: nothing };
    }
  }
}

const configurationOf = <Registry>(metric: Metric, registry: Registry): PromConfiguration<Registry> => ({
  name: prometheusName(metric),
  help: metric.help,
  labelNames: [...metric.labels],
  registers: [registry],
  ...(metric.inCluster !== undefined && { aggregator: metric.inCluster }),
});

function byMetric(readings: readonly Reading[]): Map<MetricKey, Reading[]> {
  const sorted = new Map<MetricKey, Reading[]>();
  for (const reading of readings) {
    const others = sorted.get(reading.metric);
    if (others === undefined) sorted.set(reading.metric, [reading]);
    else others.push(reading);
  }
  return sorted;
}
