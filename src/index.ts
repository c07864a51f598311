/**
 * etcd-election: the replicas of a service elect one leader through etcd, with built-in protection against hot loops.
 */
export { Election } from './election.ts';
export { failedElections, liveElections } from './live-elections.ts';
export type { ElectionStatus } from './campaign/status.ts';
export type { LeadOptions } from './campaign/lead-work.ts';
export type { CleanUp, SettledWrite, Term, TxnOptions } from './term/term.ts';
export type { Candidate, Leader } from './core/candidate.ts';
export type { Observed } from './campaign/observer.ts';
export type { ElectionHealth } from './core/health.ts';
export type { ElectionOptions, GuardOptions } from './options.ts';
export type { EndCause, LossCause, StopCause } from './core/campaign-state.ts';
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
export type { CallbackName, ElectionEvent, ElectionEventType, Logger } from './events.ts';
export { channelNames } from './logging/event-channels.ts';
export { loopGuards, type CallSite, type GuardReport, type GuardStatus } from './loop-guard/loop-guard.ts';
