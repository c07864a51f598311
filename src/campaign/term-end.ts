/**
 * The end of a term, before its key may go: the work and all that was registered with it, then `onFollower`.
 */
import type { Callbacks } from './callbacks.ts';
import type { CampaignTools } from './campaign.ts';
import type { EndCause } from '../core/campaign-state.ts';
import type { Candidate } from './candidate.ts';
import type { LiveTerm } from '../term/term.ts';
import type { CallbackName } from '../term/term-work.ts';
import { clock } from '../util/clock.ts';

/**
 * Waits for the work of a term that is over, then for `onFollower`: both within `drainTimeoutMs`.
 *
 * @param successor who leads now, or is next.
 */
export async function stopWork(
  tools: Pick<CampaignTools, 'election' | 'settings' | 'eventLog'>,
  callbacks: Callbacks,
  ended: { term: LiveTerm; reason: EndCause },
  successor: Candidate | undefined,
  report: (callback: CallbackName, error: unknown) => void,
): Promise<void> {
  const { election, eventLog } = tools;
  const { term, reason } = ended;
  const { drainTimeoutMs } = tools.settings;
  const untilMs = clock.now() + drainTimeoutMs;
  const overdue = (names: readonly CallbackName[]): void =>
    eventLog.report({
      type: 'drain.overdue',
      election,
      fencingToken: term.fencingToken.toString(),
      afterMs: drainTimeoutMs,
      callbacks: names,
    });
  if (!(await callbacks.drain(drainTimeoutMs))) return overdue(term.work.names);
  if (callbacks.followerCallbackDue) callbacks.follow(successor, report);
  else if (reason === 'follower-stuck') return; // it has been waited for
  if (!(await callbacks.followed(untilMs - clock.now()))) overdue(['onFollower']);
}
