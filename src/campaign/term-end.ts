/**
 * The end of a term, before its key may go: the work and all that was registered with it, then `onFollower`.
 */
import type { EndCause } from '../core/campaign-state.ts';
import type { Candidate } from '../core/candidate.ts';
import type { LiveTerm } from '../term/live-term.ts';
import type { TurnTools } from './turn.ts';
import { clock } from '../util/clock.ts';

export interface EndedTerm {
  readonly term: LiveTerm;
  readonly reason: EndCause;
  /** Who leads now, or is next. */
  readonly successor: Candidate | undefined;
}

/** Waits for the work of a term that is over, then for `onFollower`: both within `drainTimeoutMs`. */
export async function stopWork(
  { report, callbacks, settings: { drainTimeoutMs } }: TurnTools,
  { term, reason, successor }: EndedTerm,
): Promise<void> {
  const untilMs = clock.now() + drainTimeoutMs;
  if (!(await callbacks.drain(drainTimeoutMs)))
    return report.drainOverdue(term, drainTimeoutMs, term.work.names);
  if (callbacks.followerCallbackDue) callbacks.follow(successor);
  else if (reason === 'follower-stuck') return; // it has been waited for
  if (!(await callbacks.followed(untilMs - clock.now())))
    report.drainOverdue(term, drainTimeoutMs, ['onFollower']);
}
