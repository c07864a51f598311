import { describe, expect, test } from 'vitest';
import { healthOf, type HealthFacts } from '../../src/core/health.ts';
import { plainCauseWithCertificate } from '../../src/core/plain-cause.ts';
import { catalogue, prometheusName } from '../../src/telemetry/catalogue.ts';

const following: HealthFacts = {
  standing: true,
  term: undefined,
  progressTimeoutMs: undefined,
  workAfterTermMs: 0,
  drainTimeoutMs: 1_000,
  refusal: undefined,
};
const leading: HealthFacts = { ...following, term: { remainingMs: 5_000, quietMs: 10 } };

describe('health', () => {
  test.for([
    ['a follower is healthy', following, { healthy: true, leading: false, standing: true }],
    [
      'an idle or disconnected replica is healthy',
      { ...following, standing: false },
      { healthy: true, leading: false, standing: false },
    ],
    ['a leader that renews in time is healthy', leading, { healthy: true, leading: true }],
    [
      'a leader that has not renewed in time is unhealthy',
      { ...leading, term: { remainingMs: 0, quietMs: 0 } },
      { healthy: false, leading: false },
    ],
    [
      'quiet work without progressTimeoutMs is healthy',
      { ...leading, term: { remainingMs: 1, quietMs: 1e9 } },
      { healthy: true },
    ],
    [
      'quiet work with progressTimeoutMs is unhealthy',
      { ...leading, progressTimeoutMs: 10 },
      { healthy: false, leading: true },
    ],
    [
      'work that still has time to stop is healthy',
      { ...following, workAfterTermMs: 1_000 },
      { healthy: true },
    ],
    [
      'an onFollower that does not settle is unhealthy',
      { ...following, followingMs: 1_001 },
      { healthy: false },
    ],
    [
      'a campaign that etcd refuses is unhealthy',
      { ...following, refusal: 'permission denied' },
      { healthy: false, leading: false, standing: true },
    ],
    [
      'work that ignores its signal is unhealthy',
      { ...following, workAfterTermMs: 1_001 },
      { healthy: false },
    ],
  ] as const)('%s', ([, facts, verdict]) => {
    const health = healthOf(facts);
    expect(health).toMatchObject(verdict);
    expect(health.reason === undefined).toBe(health.healthy);
  });
});

test.for([
  ['etcdserver: permission denied', 'etcd refuses us: '],
  ['unable to verify the first certificate', 'cannot use etcd: '],
  ['tlsv1 alert unknown ca', 'cannot use etcd: '],
] as const)(
  'the reason for the health of a campaign with the cause "%s" begins with "%s"',
  ([said, begin]) => {
    const refusal = `grant a lease: ${plainCauseWithCertificate(said)}`;
    expect(healthOf({ ...following, refusal }).reason).toBe(`${begin}${refusal}`);
  },
);

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
      // Prometheus: base units, and `_total` for counters.
      expect(prometheusName(metric)).toMatch(metric.unit === 's' ? /_seconds(_total)?$/ : /[a-z]$/);
      expect(prometheusName(metric).endsWith('_total')).toBe(['counter', 'total'].includes(metric.kind));
      for (const label of metric.labels) expect(label).toMatch(/^[a-z]+(_[a-z]+)*$/);
      expect(metric.inCluster !== undefined, metric.name).toBe(metric.kind === 'gauge');
      // Relabelling rules for etcd's own metrics do not match ours.
      expect(prometheusName(metric)).not.toMatch(
        /^etcd_(cluster|debugging|disk|grpc|mvcc|network|request|requests|server|snap|lease_object|bookmark)/,
      );
      if (metric.kind === 'histogram')
        expect(metric.buckets!.toSorted((a, b) => a - b)).toEqual(metric.buckets);
    }
  });
});
