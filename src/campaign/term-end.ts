/**
 * Ends a term, before its key is deleted.
 */
import type { EndCause } from '../core/campaign-state.ts';
import type { Candidate } from '../core/candidate.ts';
import type { LiveTerm } from '../term/live-term.ts';
import type { TurnTools } from './turn-tools.ts';
import { clock } from '../util/clock.ts';
import { watchEventLoop } from '../util/event-loop-stall.ts';
import { tellStoppedLate } from './unusual-usage.ts';

/** The share of the drain after which `onFollower` is called although the work has not settled. */
const SHARE_OF_THE_WORK = 0.75;

export interface EndedTerm {
  readonly term: LiveTerm;
  readonly reason: EndCause;
  /** The present or the next leader, if it is known. */
  readonly successor: Candidate | undefined;
}

/**
 * Waits for the work of an ended term, and for everything registered with that term. Then waits for `onFollower`. Both waits
 * together take at most `drainTimeoutMs`. Meanwhile the work may still make fenced writes. If the work still runs after most of
 * that time, `onFollower` is called early. Perhaps only `onFollower` stops the work.
 */
export async function stopWork(tools: TurnTools, ended: EndedTerm): Promise<void> {
  const untilMs = clock.now() + tools.settings.drainTimeoutMs;
  const stopWatch = watchEventLoop();
  // Without the session, writes are refused. The guard then releases the failed writes that it holds, so that the work
  // learns of the end at once.
  const offEnd = tools.candidateKey.session?.onEnd(() => ended.term.keyLost());
  await drain(tools, ended, untilMs);
  offEnd?.();
  stopWatch();
  ended.term.closeWrites();
}

async function drain(
  { report, election, callbacks, settings: { drainTimeoutMs } }: TurnTools,
  { term, reason, successor }: EndedTerm,
  untilMs: number,
): Promise<void> {
  const leftMs = (): number => Math.max(0, untilMs - clock.now());
  if (!(await callbacks.drain(drainTimeoutMs * SHARE_OF_THE_WORK))) {
    const isFollowerCalled = callbacks.followerCallbackDue;
    if (isFollowerCalled) callbacks.follow(successor);
    if (!(await callbacks.drain(leftMs()))) return report.drainOverdue(term, drainTimeoutMs, term.work.names);
    if (isFollowerCalled) tellStoppedLate(report, election, drainTimeoutMs * SHARE_OF_THE_WORK);
  }
  if (callbacks.followerCallbackDue) callbacks.follow(successor);
  else if (reason === 'follower-stuck') return; // the term has already waited for `onFollower`
  if (!(await callbacks.followerSettled(leftMs()))) report.drainOverdue(term, drainTimeoutMs, ['onFollower']);
}
