/**
 * etcd-election: the replicas of a service elect one leader through etcd, and a runaway loop cannot form.
 */
export { Election, liveElections, type Leader } from './election.ts';
export type { ElectionStatus } from './status.ts';
export type { LeadOptions } from './lead-work.ts';
export type { SettledWrite, Term } from './term.ts';
export type { Candidate } from './candidate.ts';
export type { ElectionHealth } from './health.ts';
export type { ElectionOptions, GuardOptions, TxnOptions } from './options.ts';
export type { EndCause, LossCause, StopCause } from './core/campaign.ts';
export {
  AlreadyStandingError,
  ElectionClosedError,
  ElectionError,
  InvalidInputError,
  LeadershipLostError,
  OutcomeUnknownError,
  RefusedError,
  RunawayLoopError,
  UnavailableError,
  type ElectionErrorCode,
} from './errors.ts';
export type { CleanUp } from './term-work.ts';
export {
  channelNames,
  type CallbackName,
  type ElectionEvent,
  type ElectionEventType,
  type Logger,
} from './events.ts';
export { loopGuards, type CallSite, type GuardReport, type GuardStatus } from './guard/guard.ts';
