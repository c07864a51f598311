/**
 * Turns events into metrics. A sink passes the values to a metrics library.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { channelNames, type ElectionEvent } from '../index.ts';
import { sourceOf } from '../logging/event-channels.ts';
import { registeredCount, unmarkedElections, type UnmarkedElection } from '../election-registry.ts';
import type { EventOf } from '../events.ts';
import {
  ALL_OF_AN_ELECTION,
  OF_A_CANDIDACY,
  OF_A_TERM,
  OF_AN_ELECTION,
  OF_THE_PROCESS,
  ORIGINS,
  type Beginning,
} from './beginnings.ts';
import type { MetricKey } from './catalogue.ts';
import { figuresOf, merged, NO_FIGURES, type ElectionFigures } from './election-figures.ts';
import { sumGuards, type GuardSums } from './guard-sums.ts';
import { MOST_FINISHED, ShownElections, type ShownElection } from './shown-elections.ts';

export type Labels = Readonly<Record<string, string>>;

export interface Sink {
  /** Increments a counter, or adds a value to a histogram. */
  record(metric: MetricKey, value: number, labels: Labels): void;
  /**
   * Shows a counter or a histogram before its first event. If Prometheus first saw a series at 1, `increase()` would not
   * count the first event.
   */
  begin(metric: MetricKey, labels: Labels): void;
  /**
   * Removes a counter or a histogram of a finished election. The series need not exist. `forget` is absent if the metrics
   * library cannot remove a series. Then the recorder drops no election, because the metrics library would show the last
   * gauges of a dropped election for ever.
   */
  readonly forget?: (metric: MetricKey, labels: Labels) => void;
}

export interface Reading {
  readonly metric: MetricKey;
  readonly value: number;
  readonly labels: Labels;
}

/** Published by the watchdog of etcd-election/diagnostics. */
const RUNAWAY = 'etcd-election:runaway';

/** How many names of elections have gauges, if the metrics library cannot remove a series. */
const MOST_UNFORGOTTEN = 16_384;

export class Recorder implements Disposable {
  readonly #sink: Sink;
  readonly #shown: ShownElections;
  /** The elections without a leader, by the key of their source. Several clients may campaign in one election. */
  readonly #leaderless = new Map<string, { readonly sinceMs: number; readonly watchers: Set<unknown> }>();
  #hasWarned = false;
  /** What the loop guards had counted at the last read, by election and loop. */
  #guards: GuardSums = new Map();
  /** Granted TTLs of the leases held, in seconds. */
  readonly #leases = new Map<string, number>();

  constructor(sink: Sink) {
    this.#sink = sink;
    this.#shown = new ShownElections(sink.forget === undefined ? MOST_UNFORGOTTEN : Infinity);
    for (const name of channelNames) subscribe(name, this.#onMessage);
    subscribe(RUNAWAY, this.#onRunaway);
  }

  /** Shows the metrics of the process at 0. Call it when the sink is ready. */
  start(): void {
    this.#begin(OF_THE_PROCESS, {});
  }

  /** Stops recording and removes every subscription. May be called again. */
  [Symbol.dispose](): void {
    for (const name of channelNames) unsubscribe(name, this.#onMessage);
    unsubscribe(RUNAWAY, this.#onRunaway);
  }

  /** The present values of gauges and totals. */
  read(): Reading[] {
    const elections = unmarkedElections();
    this.#refresh(elections);
    return [...this.#readElections(elections), ...this.#readGuards(), this.#readLeases()];
  }

  readonly #onMessage = (message: unknown): void => {
    const event = message as ElectionEvent;
    if ('election' in event) this.#see(event.election);
    this.#count(event);
    // If nobody scrapes, only this line removes finished elections. It acts only at twice the limit, because each removal
    // looks at all elections.
    if (this.#sink.forget !== undefined && this.#shown.size > registeredCount() + 2 * MOST_FINISHED)
      this.#refresh(unmarkedElections());
  };

  readonly #onRunaway = (report: unknown): void => {
    const { verdict } = report as { verdict?: unknown };
    this.#sink.record('runaways', 1, { verdict: typeof verdict === 'string' ? verdict : 'unknown' });
  };

  #count(event: ElectionEvent): void {
    const record = this.#sink.record.bind(this.#sink);
    switch (event.type) {
      case 'candidate.entered':
        return this.#first(event.election, OF_A_CANDIDACY);
      case 'term.started':
        this.#first(event.election, OF_A_TERM);
        return record('termsStarted', 1, { election: event.election });
      case 'term.ended':
        record('termsEnded', 1, { election: event.election, reason: event.reason });
        return record('termDuration', event.ledMs / 1000, { election: event.election });
      case 'term.released':
        return record('handoverDuration', event.afterMs / 1000, { election: event.election });
      case 'leader.changed':
        return this.#noteLeader(event);
      case 'campaign.ended':
        this.#watchesNoMore(event);
        return record('campaignsEnded', 1, { election: event.election, reason: event.reason });
      case 'candidate.lost':
        return record('candidaciesLost', 1, { election: event.election, reason: event.reason });
      case 'callback.failed':
        return record('callbacksFailed', 1, { election: event.election, callback: event.callback });
      case 'drain.overdue':
        return record('drainsOverdue', 1, { election: event.election });
      case 'release.failed':
        return record('releasesFailed', 1, { election: event.election });
      case 'write.failed':
        return this.#countFailedWrites(event);
      case 'guard.tripped':
        this.#noteTrip(event);
        return record('guardTrips', 1, { election: event.election, origin: event.origin });
      case 'session.opened':
        this.#leases.set(event.leaseId, event.grantedTtlSeconds);
        return;
      case 'session.renewed':
        record('renewalRoundTrip', event.roundTripMs / 1000, {});
        return record('renewalHeadroom', event.headroomMs / 1000, {});
      case 'session.faltered':
        return record('renewalsFaltered', 1, {});
      case 'session.lost':
        this.#leases.delete(event.leaseId);
        return record('leasesLost', 1, { reason: event.reason });
      case 'session.closed':
        this.#leases.delete(event.leaseId);
        return;
      case 'watch.lost':
        return record('watchResyncs', 1, {});
      case 'watch.healed':
        return record('watchHealing', event.afterMs / 1000, {});
      case 'session.unavailable':
        return record('leasesUnavailable', 1, {});
      case 'candidate.failed':
        return record('candidaciesFailed', 1, { election: event.election });
      // These events appear in the gauges, or have no metric.
      case 'options.unusual':
      case 'host.away':
      case 'host.back':
      case 'host.foreign':
      case 'cluster.changed':
      case 'guard.recovered':
      case 'session.held':
      case 'observers.many':
      case 'session.recovered':
      case 'session.available':
      case 'last-will.lost':
      case 'etcd.history-lost':
      case 'candidate.refused':
      case 'etcd.proxied':
      case 'watch.unconfirmed':
      case 'announce.failed':
      case 'work.ended':
      case 'txn.uncommitted':
      case 'campaign.refused':
      case 'candidate.waiting':
      case 'usage.unusual':
      case 'term.stale':
      case 'process.stalled':
      case 'follower.overdue':
      case 'orphan.deleted':
    }
  }

  #countFailedWrites({ election, failures, unknownOutcomes }: EventOf<'write.failed'>): void {
    for (const [outcome, value] of Object.entries({
      'not-written': failures - unknownOutcomes,
      unknown: unknownOutcomes,
    }))
      if (value > 0) this.#sink.record('writesFailed', value, { election, outcome });
  }

  /** A time without a leader begins only when etcd shows none. If the leader is unknown, another replica may lead. */
  #noteLeader(event: EventOf<'leader.changed'>): void {
    const { election, fencingToken, isKnown } = event;
    const { key, watcher } = watcherOf(event);
    const leaderless = this.#leaderless.get(key);
    if (fencingToken === undefined) {
      if (leaderless !== undefined) leaderless.watchers.add(watcher);
      else if (isKnown)
        this.#leaderless.set(key, { sinceMs: performance.now(), watchers: new Set([watcher]) });
    } else if (leaderless !== undefined) {
      this.#leaderless.delete(key);
      const seconds = (performance.now() - leaderless.sinceMs) / 1000;
      this.#sink.record('leaderlessDuration', seconds, { election });
    }
  }

  /** A time without a leader is measured only while a campaign of this process watches the election. */
  #watchesNoMore(event: EventOf<'campaign.ended'>): void {
    const { key, watcher } = watcherOf(event);
    const leaderless = this.#leaderless.get(key);
    leaderless?.watchers.delete(watcher);
    if (leaderless?.watchers.size === 0) this.#leaderless.delete(key);
  }

  #see(election: string): void {
    this.#first(election, OF_AN_ELECTION);
  }

  #first(election: string, beginnings: readonly Beginning[]): void {
    const shown = this.#shown.touch(election);
    if (shown === undefined) return this.#warnOfMissing(election);
    if (shown.begun.has(beginnings)) return;
    shown.begun.add(beginnings);
    this.#begin(beginnings, { election });
  }

  #warnOfMissing(election: string): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    process.emitWarning(
      `the metrics of etcd-election show gauges for at most ${MOST_UNFORGOTTEN} names of elections. "${election}" and later names have none`,
      { code: 'ETCD_ELECTION_METRICS' },
    );
  }

  #noteTrip({ election, origin }: EventOf<'guard.tripped'>): void {
    const shown = this.#shown.touch(election);
    if (shown !== undefined) shown.trippedBy = origin;
  }

  /**
   * Notes which elections are in use, and forgets finished ones. An election is in use if its campaign runs or has failed,
   * or if its guard has counted a new round.
   */
  #refresh(elections: readonly UnmarkedElection[]): void {
    const live = new Set(elections.map(({ name }) => name));
    for (const election of live) this.#see(election);
    const guards = sumGuards();
    for (const [key, { labels, rounds }] of guards)
      if (this.#guards.get(key)?.rounds !== rounds) this.#shown.touch(labels.election);
    this.#guards = guards;
    const { forget } = this.#sink;
    if (forget === undefined) return;
    for (const election of this.#shown.forget(live)) eachSeries(ALL_OF_AN_ELECTION, { election }, forget);
  }

  #begin(beginnings: readonly Beginning[], labels: Labels): void {
    eachSeries(beginnings, labels, (metric, all) => this.#sink.begin(metric, all));
  }

  /** One set of readings for each name. Several elections may have the same name, for example on two clients. */
  #readElections(elections: readonly UnmarkedElection[]): Reading[] {
    const best = new Map<string, ElectionFigures>();
    const infos = new Map<string, Reading>();
    for (const one of elections) {
      const { election, prefix, clusterId } = one.status;
      const figures = figuresOf(one);
      const other = best.get(election);
      best.set(election, other === undefined ? figures : merged(figures, other));
      // OpenTelemetry cannot forget a series, so one with an empty ID would stay beside the true one.
      if (clusterId === undefined) continue;
      const labels = { election, prefix, cluster_id: clusterId };
      infos.set(JSON.stringify(labels), { metric: 'info', value: 1, labels });
    }
    return this.#shown
      .entries()
      .flatMap(([election, shown]) => readingsOf(election, shown, best.get(election) ?? NO_FIGURES))
      .concat([...infos.values()]);
  }

  #readGuards(): Reading[] {
    return [...this.#guards.values()]
      .filter(({ labels }) => this.#shown.has(labels.election))
      .flatMap(({ labels, rounds, heldMs }) => [
        { metric: 'guardRounds' as const, value: rounds, labels },
        { metric: 'guardHeld' as const, value: heldMs / 1000, labels },
      ]);
  }

  #readLeases(): Reading {
    const value = this.#leases.size === 0 ? 0 : Math.min(...this.#leases.values());
    return { metric: 'leaseTtl', value, labels: {} };
  }
}

function readingsOf(
  election: string,
  { begun, trippedBy }: ShownElection,
  { guardTripped, ...figures }: ElectionFigures,
): Reading[] {
  if (begun.size === 0) return [];
  const readings: Reading[] = Object.entries(figures).map(([metric, value]) => ({
    metric: metric as keyof typeof figures,
    value,
    labels: { election },
  }));
  for (const origin of ORIGINS) {
    const value = origin === trippedBy ? guardTripped : 0;
    readings.push({ metric: 'guardTripped', value, labels: { election, origin } });
  }
  return readings;
}

/** Calls `call` for every series. A metric with a label has one series for each value. */
function eachSeries(
  series: readonly Beginning[],
  labels: Labels,
  call: (metric: MetricKey, labels: Labels) => void,
): void {
  for (const [metric, label, values] of series)
    if (label === undefined || values === undefined) call(metric, labels);
    else for (const value of values) call(metric, { ...labels, [label]: value });
}

/** Which election an event belongs to, and which campaign has seen it. */
function watcherOf(event: EventOf<'leader.changed' | 'campaign.ended'>): { key: string; watcher: unknown } {
  const source = sourceOf(event);
  return { key: source?.key ?? event.election, watcher: source };
}
