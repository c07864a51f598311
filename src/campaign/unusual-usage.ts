/**
 * Warns about code that is a mistake in many programs. `UnusualUsage` in events.ts lists the cases.
 */
import type { UnfinishedCallbacks } from '../client/active-campaigns.ts';
import { followerLimitMs } from '../core/health.ts';
import { CallbackFrames } from '../util/callback-frames.ts';
import { clock, untilNextTurn } from '../util/clock.ts';
import { settledWithin } from '../util/settle.ts';
import type { CampaignReport } from './campaign-report.ts';
import type { CampaignTools } from './campaign-tools.ts';
import type { QueueWatcher } from './queue-watcher.ts';

export function tellExit(report: CampaignReport, election: string, ttlSeconds: number): void {
  report.unusual(
    'exit',
    `the process exits while it leads "${election}", and no replica can lead until its lease expires, in up to ${ttlSeconds} s. ` +
      'Await election.close() before process.exit(); for crashes, set lastWill: true',
  );
}

export function tellClosedClient(report: CampaignReport, election: string, ttlSeconds: number): void {
  report.unusual(
    'closed-client',
    `the Etcd3 client was closed while this replica led "${election}". The key could not be deleted, and no replica can lead until ` +
      `the lease expires, in up to ${ttlSeconds} s. Await election.close() before client.close()`,
  );
}

/** Text that comes from an unset variable or an object. A value may be JSON, so `null` is no mistake. */
const UNSET = /undefined|\[object \w+\]/;

/** Only warns, because a value is free text. */
export function tellUnset(report: CampaignReport, election: string, value = ''): void {
  const unset = UNSET.exec(value)?.[0];
  if (unset === undefined) return;
  report.unusual(
    'unset-value',
    `the value announced in "${election}" contains "${unset}": a variable probably has no value, or is an object. ` +
      'Then other replicas do not see which replica this is',
  );
}

/** Records in `turn.awaitedBy` which election has a callback that awaits the term, if there is one. */
export async function noteAwaiting(turn: { awaitedBy: string | undefined }): Promise<void> {
  await untilNextTurn(); // let the caller await us first
  turn.awaitedBy = CallbackFrames.awaiting()[0]?.frames.election;
}

/** Waits until the callbacks of an earlier campaign have settled, or the signal aborts. Warns if that takes long. */
export async function waitForEarlier(
  { report, election, settings }: Pick<CampaignTools, 'report' | 'election' | 'settings'>,
  earlier: UnfinishedCallbacks,
  signal: AbortSignal,
): Promise<void> {
  const waited = earlier.settled(signal);
  void settledWithin(waited, followerLimitMs(settings.drainTimeoutMs)).then((isOver) => {
    if (!isOver) tellEarlierWork(report, election, earlier);
  });
  await waited;
}

function tellEarlierWork(report: CampaignReport, election: string, earlier: UnfinishedCallbacks): void {
  report.unusual(
    'earlier-work',
    `the campaign in "${election}" waits: a callback of an earlier term in this process still runs (${earlier.followingMs > 0 ? 'onFollower' : 'the work'}), ` +
      'and this replica cannot lead before it has settled. Does it ignore term.signal? If it cannot stop, restart the process',
  );
}

export function tellInTurn(report: CampaignReport, election: string): void {
  report.unusual(
    'in-turn',
    `lead() in "${election}" has run its work after that of another replica: all replicas that call lead() run the work, one ` +
      'after another. If one run is enough, pass { ifFree: true }',
  );
}

/** A function that only starts something usually takes less than this, in milliseconds. */
const SHORT_WORK_MS = 100;

export function tellShortWork(report: CampaignReport, election: string, tookMs: number): void {
  if (tookMs < SHORT_WORK_MS) return;
  report.unusual(
    'short-work',
    `onLeader of "${election}" returned after ${Math.round(tookMs)} ms, and this replica stays the leader. That is right if it ` +
      "started what onFollower stops. If its work is over, set whenWorkEnds: 'step-down'",
  );
}

const STOPPERS = ['stop', 'close', 'unsubscribe', 'cancel', 'destroy', 'end', 'disconnect', 'quit'] as const;

/** Describes for the log a return value of `onLeader` that is probably a mistake, and the remedy. Undefined for other values. */
export function stopperOf(returned: unknown): string | undefined {
  if (typeof returned !== 'object' || returned === null) return undefined;
  try {
    const has = (name: string): boolean => typeof (returned as Record<string, unknown>)[name] === 'function';
    if (has('next') && has('throw'))
      return 'a generator, whose body does not run. Consume it in an async function, with for await';
    const stopper = STOPPERS.find(has);
    return (
      stopper &&
      `an object with ${stopper}(), which nothing calls when the term ends. Return a function that calls it`
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

export function tellUnusedTerm(report: CampaignReport, election: string, isOver: boolean): void {
  report.unusual(
    'unused-term',
    isOver
      ? `the term of "${election}" is over, but nothing has asked whether it is current: work that the program began after ` +
          `campaign() may still run, together with the work of the next leader. ${ASK}`
      : `this replica leads "${election}", and nothing uses the new term: campaign() resolves only for the first term, and ` +
          `earlier answers of isCurrent() are out of date. ${ASK}`,
  );
}

export function tellUnaskedTerm(
  report: CampaignReport,
  election: string,
  reason: 'closed' | 'resigned',
): void {
  report.unusual(
    'unasked-term',
    `${reason === 'closed' ? 'close()' : 'resign()'} ended the term of "${election}", and nothing has asked whether it ` +
      'was current. Work that was begun after campaign() may still run: put it into onLeader, or into term.run(). If ' +
      'campaign() serves as a lock, all replicas run the work, one after another: lead(work, { ifFree: true }) runs it once',
  );
}

export function tellEmitted(report: CampaignReport, election: string): void {
  report.unusual(
    'emitted',
    `onFollower of "${election}" returned true. If that comes from emit(), nothing waits until its listeners have stopped the ` +
      'work, and another replica may lead meanwhile: call the function that stops the work, and return its promise',
  );
}

export function tellUnawaited(report: CampaignReport, election: string): void {
  report.unusual(
    'unawaited',
    `onLeaderChange of "${election}" still runs, and nothing awaits it: another replica may lead before the callback has stopped its ` +
      'work. Start work in onLeader and stop it in onFollower, which is awaited before the key is deleted',
  );
}

export function tellStoppedLate(report: CampaignReport, election: string, afterMs: number): void {
  report.unusual(
    'stopped-late',
    `the work of "${election}" ended only when onFollower was called, ${Math.round(afterMs)} ms after its term. ` +
      'Until then no other replica could lead. In a loop, call term.isCurrent(). If onFollower stops what onLeader awaits, ' +
      'stop it by term.onEnd() instead, or do not await it in onLeader',
  );
}

export function tellTimedOut(report: CampaignReport, election: string): void {
  report.unusual(
    'timed-out',
    `the signal of "${election}" timed out while this replica led, and that closes the election for good. To limit ` +
      'only the wait for leadership, leave out the option signal. Set a timer that calls resign() if isCurrent() is false',
  );
}

export function tellUncalled(report: CampaignReport, election: string, what: string): void {
  report.unusual(
    'uncalled',
    `${what}.isCurrent of "${election}" is read, but not called, so it is always true: write ${what}.isCurrent()`,
  );
}

/**
 * Warns if another candidate announces our value. Checks twice, because a killed process leaves its key behind for up to one
 * TTL. During that time, its replacement may announce the same value.
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
    `several candidates of "${election}" announce "${queue.get(ownKey)?.value}", so a comparison with the leader's value does ` +
      'not show whether this replica leads. Use election.isCurrent(), or isMe of a candidate. Announce a different value in ' +
      'every process, for example with the name of its container',
  );
}
