import { describe, expect, test } from 'vitest';
import { healthOf, type HealthFacts } from '../../src/core/health.ts';
import { catalogue, prometheusName } from '../../src/telemetry/catalogue.ts';

const following: HealthFacts = {
  standing: true,
  term: undefined,
  progressTimeoutMs: undefined,
  workOverdueMs: 0,
  drainTimeoutMs: 1_000,
  refusal: undefined,
};
const leading: HealthFacts = { ...following, term: { remainingMs: 5_000, quietMs: 10 } };

describe('health', () => {
  test.for([
    ['a follower is healthy', following, { healthy: true, leading: false, standing: true }],
    [
      'so is who does not stand, or cannot reach etcd',
      { ...following, standing: false },
      { healthy: true, leading: false, standing: false },
    ],
    ['a leader in time', leading, { healthy: true, leading: true }],
    [
      'believes to lead, and has not renewed in time',
      { ...leading, term: { remainingMs: 0, quietMs: 0 } },
      { healthy: false, leading: false },
    ],
    [
      'quiet work, where nobody asked for heartbeats',
      { ...leading, term: { remainingMs: 1, quietMs: 1e9 } },
      { healthy: true },
    ],
    [
      'quiet work, where somebody did',
      { ...leading, progressTimeoutMs: 10 },
      { healthy: false, leading: true },
    ],
    ['work that still has time to stop', { ...following, workOverdueMs: 1_000 }, { healthy: true }],
    ['onFollower that does not settle', { ...following, followingMs: 1_001 }, { healthy: false }],
    [
      'etcd refuses us',
      { ...following, refusal: 'permission denied' },
      { healthy: false, leading: false, standing: true },
    ],
    ['work that ignores its signal', { ...following, workOverdueMs: 1_001 }, { healthy: false }],
  ] as const)('%s', ([, facts, verdict]) => {
    const health = healthOf(facts);
    expect(health).toMatchObject(verdict);
    expect(health.reason === undefined).toBe(health.healthy);
  });
});

describe('names of metrics', () => {
  test('follow the rules of both ecosystems', () => {
    const names = Object.values(catalogue).map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const metric of Object.values(catalogue)) {
      // OpenTelemetry: a namespace, lower case, no `total` in the name.
      expect(metric.name).toMatch(/^etcd\.election(\.[a-z]+(_[a-z]+)*)+$/);
      expect(metric.name).not.toMatch(/_s$|total|count$/);
      // Its exporter for Node.js adds no unit; its Collector adds none twice.
      expect(metric.name.endsWith('.seconds'), metric.name).toBe(metric.unit === 's');
      expect(metric.unit).toMatch(/^(s|\{[a-z]+\})$/);
      // Prometheus: base units, and `_total` for what only grows.
      expect(prometheusName(metric)).toMatch(metric.unit === 's' ? /_seconds(_total)?$/ : /[a-z]$/);
      expect(prometheusName(metric).endsWith('_total')).toBe(['counter', 'total'].includes(metric.kind));
      for (const label of metric.labels) expect(label).toMatch(/^[a-z]+(_[a-z]+)*$/);
      expect(metric.inCluster !== undefined, metric.name).toBe(metric.kind === 'gauge');
      // Rules of others that drop or keep etcd's own metrics by their names leave ours alone.
      expect(prometheusName(metric)).not.toMatch(
        /^etcd_(cluster|debugging|disk|grpc|mvcc|network|request|requests|server|snap|lease_object|bookmark)/,
      );
      if (metric.kind === 'histogram')
        expect(metric.buckets!.toSorted((a, b) => a - b)).toEqual(metric.buckets);
    }
  });
});
