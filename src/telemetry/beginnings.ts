/**
 * Which metrics begin at 0, and when.
 */
import type { EventOf } from '../events.ts';
import type { EndCause } from '../index.ts';
import type { MetricKey } from './catalogue.ts';

export type Origin = EventOf<'guard.tripped'>['origin'];
export const ORIGINS: readonly Origin[] = ['caller', 'environment'];

/** A metric that begins at 0. If it has a label, one series begins for each value of the label. */
export type Beginning = readonly [metric: MetricKey, label?: string, values?: readonly string[]];

const ENDS: Record<EndCause, true> = {
  'deadline-passed': true,
  'lease-lost': true,
  evicted: true,
  'work-failed': true,
  'no-progress': true,
  'follower-stuck': true,
  'work-ended': true,
  'stepped-down': true,
  resigned: true,
  closed: true,
  aborted: true,
  refused: true,
};

/** Metrics that begin with the process. */
export const OF_THE_PROCESS: readonly Beginning[] = [
  ['leasesLost', 'reason', ['deadline-passed', 'lease-lost', 'refused']],
  ['runaways', 'verdict', ['starved', 'hot', 'rounds']],
  ['leasesUnavailable'],
  ['renewalsFaltered'],
  ['watchResyncs'],
];
/** Metrics that begin when an election is known. */
export const OF_AN_ELECTION: readonly Beginning[] = [
  ['termsStarted'],
  ['campaignsEnded', 'reason', ['resigned', 'closed', 'aborted', 'refused', 'skipped']],
  ['candidaciesFailed'],
  [
    'callbacksFailed',
    'callback',
    ['onLeader', 'onFollower', 'onLeaderChange', 'run', 'every', 'onEnd', 'onAbort'],
  ],
  ['candidaciesLost', 'reason', ['deadline-passed', 'lease-lost', 'evicted', 'refused']],
  ['guardTrips', 'origin', ORIGINS],
];
/** Metrics that begin when one of our candidates first enters the queue of the election. */
export const OF_A_CANDIDACY: readonly Beginning[] = [['leaderlessDuration']];
/** Metrics that begin with the first term, because most replicas never lead. */
export const OF_A_TERM: readonly Beginning[] = [
  ['termsEnded', 'reason', Object.keys(ENDS)],
  ['termDuration'],
  ['handoverDuration'],
  ['drainsOverdue'],
  ['releasesFailed'],
  ['writesFailed', 'outcome', ['not-written', 'unknown']],
];

/** Every counter and histogram that may name an election. */
export const ALL_OF_AN_ELECTION: readonly Beginning[] = [
  ...OF_AN_ELECTION,
  ...OF_A_CANDIDACY,
  ...OF_A_TERM,
  ['candidaciesLost', 'reason', Object.keys(ENDS)],
];
