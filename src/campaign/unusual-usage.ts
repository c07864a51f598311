/**
 * Ordinary code that is a mistake in many programs: what it does, and what to write instead.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { CallbackFrames } from '../util/callback-frames.ts';
import { clock } from '../util/clock.ts';
import type { Campaign } from './campaign.ts';
import type { CampaignReport } from './campaign-report.ts';
import type { QueueWatcher } from './queue-watcher.ts';

/** The process exits, and its key stays behind. */
export function tellExit(report: CampaignReport, election: string, ttlSeconds: number): void {
  report.unusual(
    'exit',
    `the process exits while it leads "${election}": nobody leads until its lease has run out, in up to ${ttlSeconds} s. ` +
      'Await election.close() before process.exit(); for crashes, set lastWill: true',
  );
}

/** Notes whose work awaits a term of this campaign, if any does: it holds one election while it waits for another. */
export async function noteAwaiting(campaign: Campaign): Promise<void> {
  await nextTurn(); // the caller has had the time to await us, or to go on
  campaign.turn.awaitedBy = CallbackFrames.awaiting()[0]?.frames.election;
}

/** `lead()` has run its work, though it had to wait for its turn. */
export function tellInTurn(report: CampaignReport, election: string): void {
  report.unusual(
    'in-turn',
    `lead() in "${election}" waited for its turn, and has run its work after that of another replica: every replica ` +
      'that calls it runs its own, one after another. If one of them is enough, pass { ifFree: true }',
  );
}

/** What only starts something seldom takes this long; what has some work to do seldom less, in milliseconds. */
const SHORT_WORK_MS = 100;

/** `onLeader` has returned, and nothing shows whether it has started something. */
export function tellShortWork(report: CampaignReport, election: string, tookMs: number): void {
  if (tookMs < SHORT_WORK_MS) return;
  report.unusual(
    'short-work',
    `onLeader of "${election}" returned after ${Math.round(tookMs)} ms, and this replica leads on. That is right if it ` +
      "started what onFollower stops. If its work is over, set whenWorkEnds: 'step-down'",
  );
}

/** Names of methods that stop what they belong to. */
const STOPPERS = ['stop', 'close', 'unsubscribe', 'cancel', 'destroy', 'end', 'disconnect', 'quit'] as const;

/** How what `onLeader` returned would be stopped, as the log says it; undefined if it looks like no such thing. */
export function stopperOf(returned: unknown): string | undefined {
  if (typeof returned !== 'object' || returned === null) return undefined;
  try {
    const has = (name: string): boolean => typeof (returned as Record<string, unknown>)[name] === 'function';
    if (has('next') && has('throw'))
      return 'a generator: nothing runs its body. Consume it in an async function, with for await';
    const stopper = STOPPERS.find(has);
    return (
      stopper &&
      `an object with ${stopper}(), and nothing calls that when the term ends. Return a function that does`
    );
  } catch {
    return undefined; // properties that throw
  }
}

export function tellReturned(report: CampaignReport, election: string, what: string): void {
  report.unusual('returned', `onLeader of "${election}" returned ${what}`);
}

const ASK =
  'Put the work into onLeader, which is called for every term, or ask election.isCurrent() before every act';

/** The term was given to a caller of `campaign()`, if to anything, and nothing has asked it since. */
export function tellUnusedTerm(report: CampaignReport, election: string, isOver: boolean): void {
  report.unusual(
    'unused-term',
    isOver
      ? `the term of "${election}" is over, and nothing has asked whether it is current: what the program began after ` +
          `campaign() goes on, beside the work of the next leader. ${ASK}`
      : `this replica leads "${election}" again, and nothing uses the new term: campaign() resolves once. ${ASK}`,
  );
}

/** A condition that is always true. */
export function tellUncalled(report: CampaignReport, election: string, what: string): void {
  report.unusual(
    'uncalled',
    `${what}.isCurrent of "${election}" is read, but not called, so it is always true, in every replica: write ${what}.isCurrent()`,
  );
}

/**
 * Values are compared by many to learn who leads. Looks twice: the key of a process that was killed stays for a TTL, and the
 * next one may announce the same value.
 */
export async function tellSharedValue(
  report: CampaignReport,
  election: string,
  { queue }: QueueWatcher,
  { ownKey, ttlMs, signal }: { ownKey: string; ttlMs: number; signal: AbortSignal },
): Promise<void> {
  const others = (): string[] => {
    const value = queue.get(ownKey)?.value;
    return queue.candidates
      .filter((other) => other.key !== ownKey && other.value === value)
      .map(({ key }) => key);
  };
  await clock.sleep(ttlMs, signal);
  const before = new Set(others());
  if (before.size === 0) return;
  await clock.sleep(2 * ttlMs, signal);
  if (signal.aborted || !others().some((key) => before.has(key))) return;
  report.unusual(
    'shared-value',
    `several candidates of "${election}" announce "${queue.get(ownKey)?.value}": a comparison with the value of the leader ` +
      'does not tell whether this replica leads. Ask election.isCurrent(), or look at isMe of a candidate; and announce ' +
      'a value of its own for each process, as campaign() without a value does',
  );
}
