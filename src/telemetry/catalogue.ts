/**
 * The list of all metrics, for both entry points (Prometheus, OpenTelemetry). A test compares docs/metrics.md with it.
 *
 * The name of a duration ends with its unit, because OpenTelemetry's exporter for Node.js does not add the unit. The
 * OpenTelemetry Collector adds the unit only to a name that lacks it. So Prometheus gets the same names from both entry points.
 */

export interface Metric {
  /**
   * - `counter`, `histogram`: recorded when something happens.
   * - `gauge`, `total`: read at every scrape. A total never decreases.
   */
  readonly kind: 'counter' | 'histogram' | 'gauge' | 'total';
  /** Name with dots, in the style of OpenTelemetry. */
  readonly name: string;
  /** Unit in UCUM notation. Text in braces is an annotation, not a unit. */
  readonly unit: string;
  readonly help: string;
  /** Labels in Prometheus, and attributes in OpenTelemetry. */
  readonly labels: readonly string[];
  /**
   * How prom-client combines the values of several worker processes (`AggregatorRegistry`). Default: `sum`, as for counters
   * and histograms.
   */
  readonly inCluster?: 'sum' | 'min' | 'max';
  /** Upper bounds of a histogram's buckets, in its unit. */
  readonly buckets?: readonly number[];
}

/** For round trips: from a fast local network to ten seconds. */
const TRIP_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const SPAN_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const LEFT_SECONDS = [0.25, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 60];
const TERM_SECONDS = [1, 10, 60, 600, 3_600, 21_600, 86_400, 604_800, 2_592_000];

const metric = <const M extends Metric>(it: M): M => it;

export const catalogue: {
  readonly [key in MetricKey]: Metric;
} = {
  isLeader: metric({
    kind: 'gauge',
    name: 'etcd.election.is_leader',
    unit: '{leader}',
    help: 'Whether this process may act as leader at this moment, 1 or 0. Compares the deadline with the clock.',
    labels: ['election'],
    inCluster: 'sum',
  }),
  leaderKnown: metric({
    kind: 'gauge',
    name: 'etcd.election.leader.known',
    unit: '{leader}',
    help: 'Whether this process knows of a leader, 1 or 0. Shown only during a campaign.',
    labels: ['election'],
    inCluster: 'min',
  }),
  queuePosition: metric({
    kind: 'gauge',
    name: 'etcd.election.queue.position',
    unit: '{place}',
    help: 'Place in the queue: 1 leads, 0 has not entered yet. Shown only during a campaign.',
    labels: ['election'],
    inCluster: 'min',
  }),
  termRemaining: metric({
    kind: 'gauge',
    name: 'etcd.election.term.remaining.seconds',
    unit: 's',
    help: 'How long the term remains valid without another renewal. 0 if this process does not lead.',
    labels: ['election'],
    inCluster: 'max',
  }),
  unhealthy: metric({
    kind: 'gauge',
    name: 'etcd.election.unhealthy',
    unit: '{replica}',
    help: 'Whether election.health() finds a fault that a restart may fix, 1 or 0.',
    labels: ['election'],
    inCluster: 'max',
  }),
  info: metric({
    kind: 'gauge',
    name: 'etcd.election.info',
    unit: '{election}',
    help: 'Always 1. The labels show the prefix of the keys and the ID of the etcd cluster in decimal. Every prefix in every cluster has its own leader.',
    labels: ['election', 'prefix', 'cluster_id'],
    inCluster: 'max',
  }),
  writesFailed: metric({
    kind: 'counter',
    name: 'etcd.election.writes.failed',
    unit: '{write}',
    help: 'Failed writes under a term, by outcome: not written, or unknown.',
    labels: ['election', 'outcome'],
  }),
  termsStarted: metric({
    kind: 'counter',
    name: 'etcd.election.terms.started',
    unit: '{term}',
    help: 'Terms begun.',
    labels: ['election'],
  }),
  termsEnded: metric({
    kind: 'counter',
    name: 'etcd.election.terms.ended',
    unit: '{term}',
    help: 'Terms ended, by reason.',
    labels: ['election', 'reason'],
  }),
  termDuration: metric({
    kind: 'histogram',
    name: 'etcd.election.term.duration.seconds',
    unit: 's',
    help: 'How long terms lasted.',
    labels: ['election'],
    buckets: TERM_SECONDS,
  }),
  handoverDuration: metric({
    kind: 'histogram',
    name: 'etcd.election.handover.duration.seconds',
    unit: 's',
    help: 'Time from the end of a term until its key was deleted. In this time the work stops. The next replica leads one watch message later.',
    labels: ['election'],
    buckets: SPAN_SECONDS,
  }),
  leaderlessDuration: metric({
    kind: 'histogram',
    name: 'etcd.election.leaderless.duration.seconds',
    unit: 's',
    help: 'Times without a leader, as this process saw them in etcd. A dead leader counts as leader until its lease is gone.',
    labels: ['election'],
    buckets: SPAN_SECONDS,
  }),
  campaignsEnded: metric({
    kind: 'counter',
    name: 'etcd.election.campaigns.ended',
    unit: '{campaign}',
    help: 'Campaigns ended, by reason. After the end, the process is not a candidate. The reason "refused" needs a person to act.',
    labels: ['election', 'reason'],
  }),
  candidaciesLost: metric({
    kind: 'counter',
    name: 'etcd.election.candidacies.lost',
    unit: '{candidacy}',
    help: 'Places in the queue that were lost while waiting, by reason.',
    labels: ['election', 'reason'],
  }),
  candidaciesFailed: metric({
    kind: 'counter',
    name: 'etcd.election.candidacies.failed',
    unit: '{try}',
    help: 'Failed attempts to enter the queue. The process retries.',
    labels: ['election'],
  }),
  callbacksFailed: metric({
    kind: 'counter',
    name: 'etcd.election.callbacks.failed',
    unit: '{call}',
    help: 'Callbacks and registered work that failed.',
    labels: ['election', 'callback'],
  }),
  drainsOverdue: metric({
    kind: 'counter',
    name: 'etcd.election.drains.overdue',
    unit: '{term}',
    help: 'Terms whose work still ran at the end of the drain timeout.',
    labels: ['election'],
  }),
  releasesFailed: metric({
    kind: 'counter',
    name: 'etcd.election.releases.failed',
    unit: '{term}',
    help: 'Keys that could not be deleted at once. Candidates behind them cannot lead until a retry succeeds or the lease ends.',
    labels: ['election'],
  }),
  guardTripped: metric({
    kind: 'gauge',
    name: 'etcd.election.guard.tripped',
    unit: '{guard}',
    help: 'Whether the loop guard delays rounds, 1 or 0, by the cause of its last trip.',
    labels: ['election', 'origin'],
    inCluster: 'max',
  }),
  guardTrips: metric({
    kind: 'counter',
    name: 'etcd.election.guard.trips',
    unit: '{trip}',
    help: 'How often the loop guard began to delay rounds, by cause: the caller and its work, or the environment (etcd, network).',
    labels: ['election', 'origin'],
  }),
  guardRounds: metric({
    kind: 'total',
    name: 'etcd.election.guard.rounds',
    unit: '{round}',
    help: 'Rounds that passed the loop guard.',
    labels: ['election', 'loop'],
  }),
  guardHeld: metric({
    kind: 'total',
    name: 'etcd.election.guard.held.seconds',
    unit: 's',
    help: 'Total of the delays that the loop guard imposed on rounds. A delay that ended early counts in full.',
    labels: ['election', 'loop'],
  }),
  renewalRoundTrip: metric({
    kind: 'histogram',
    name: 'etcd.election.renewal.round_trip.seconds',
    unit: 's',
    help: 'Time from sending the renewal of a lease to the answer of etcd.',
    labels: [],
    buckets: TRIP_SECONDS,
  }),
  renewalHeadroom: metric({
    kind: 'histogram',
    name: 'etcd.election.renewal.headroom.seconds',
    unit: 's',
    help: 'Time that was left until the old deadline when a renewal was confirmed.',
    labels: [],
    buckets: LEFT_SECONDS,
  }),
  renewalsFaltered: metric({
    kind: 'counter',
    name: 'etcd.election.renewals.faltered',
    unit: '{renewal}',
    help: 'How often renewals began to fail. Failures in a row count once.',
    labels: [],
  }),
  leasesLost: metric({
    kind: 'counter',
    name: 'etcd.election.leases.lost',
    unit: '{lease}',
    help: 'Leases lost, by reason.',
    labels: ['reason'],
  }),
  leasesUnavailable: metric({
    kind: 'counter',
    name: 'etcd.election.leases.unavailable',
    unit: '{outage}',
    help: 'How often no lease could be obtained. Each outage counts once at its start, once for each new cause, and once a minute.',
    labels: [],
  }),
  leaseTtl: metric({
    kind: 'gauge',
    name: 'etcd.election.lease.ttl.seconds',
    unit: 's',
    help: 'The shortest TTL that etcd granted, among the leases that are held. 0 without a lease.',
    labels: [],
    inCluster: 'max',
  }),
  watchResyncs: metric({
    kind: 'counter',
    name: 'etcd.election.watch.resyncs',
    unit: '{resync}',
    help: 'How often a watch was lost and had to be restored.',
    labels: [],
  }),
  watchHealing: metric({
    kind: 'histogram',
    name: 'etcd.election.watch.healing.seconds',
    unit: 's',
    help: 'Time from the loss of a watch until it was up to date again.',
    labels: [],
    buckets: SPAN_SECONDS,
  }),
  runaways: metric({
    kind: 'counter',
    name: 'etcd.election.runaways',
    unit: '{runaway}',
    help: 'Runaways that the watchdog of this process reported, by verdict. The series `starved` stays 0, because a starved process cannot count.',
    labels: ['verdict'],
  }),
};

export type MetricKey =
  | 'isLeader'
  | 'leaderKnown'
  | 'queuePosition'
  | 'termRemaining'
  | 'unhealthy'
  | 'info'
  | 'writesFailed'
  | 'termsStarted'
  | 'termsEnded'
  | 'termDuration'
  | 'handoverDuration'
  | 'leaderlessDuration'
  | 'campaignsEnded'
  | 'candidaciesLost'
  | 'candidaciesFailed'
  | 'callbacksFailed'
  | 'drainsOverdue'
  | 'releasesFailed'
  | 'guardTripped'
  | 'guardTrips'
  | 'guardRounds'
  | 'guardHeld'
  | 'renewalRoundTrip'
  | 'renewalHeadroom'
  | 'renewalsFaltered'
  | 'leasesLost'
  | 'leasesUnavailable'
  | 'leaseTtl'
  | 'watchResyncs'
  | 'watchHealing'
  | 'runaways';

/** The Prometheus name of a metric, by the rules of OpenTelemetry's exporters. */
export function prometheusName({ kind, name }: Metric): string {
  const base = name.replaceAll('.', '_');
  return kind === 'counter' || kind === 'total' ? `${base}_total` : base;
}
