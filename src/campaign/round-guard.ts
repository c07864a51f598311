/**
 * Passes the rounds of one campaign through the loop guard of its election.
 */
import type { Origin } from '../core/campaign-state.ts';
import { after, clock } from '../util/clock.ts';
import type { Session } from '../client/session.ts';
import type { CampaignTools } from './campaign-tools.ts';

/** The longest delay by the guard `quits` if a campaign ends before its first round, in milliseconds. */
const LONGEST_QUIT_MS = 2_500;

/** How long to wait for a failing session to be renewed, or to end, before looking again, in milliseconds. */
const LOOK_AGAIN_MS = 1_000;

export class RoundGuard {
  readonly #tools: CampaignTools;
  readonly #calledFrom: readonly string[];
  #isReleased = false;
  #cancelHealthTimer = (): void => undefined;

  constructor(tools: CampaignTools, calledFrom: readonly string[]) {
    this.#tools = tools;
    this.#calledFrom = calledFrom;
  }

  async pass(origin: Origin, signal: AbortSignal): Promise<void> {
    await this.#tools.guard.pass(origin, this.#tools.settings.guard, {
      signal,
      calledFrom: this.#calledFrom,
      listener: this.#tools.report.guard,
      isCampaign: true,
      isRetry: origin === 'environment',
      isFirst: !this.#isReleased,
    });
    if (!signal.aborted) this.#isReleased = true;
  }

  /**
   * Records that we are in the queue. If that lasts, the guard forgets earlier rounds. While renewals fail, it does not: the
   * next rounds may fail too.
   */
  entered(session: Pick<Session, 'isSteady'>): void {
    const { guard, settings, report } = this.#tools;
    guard.cameThrough();
    const sinceMs = clock.now();
    const look = (): void => {
      if (session.isSteady) guard.healthyFor(clock.now() - sinceMs, settings.guard, report.guard);
      else this.#cancelHealthTimer = after(LOOK_AGAIN_MS, look, true);
    };
    this.stop();
    this.#cancelHealthTimer = after(settings.guard.healthyAfterMs + 1, look, true);
  }

  /** Cancels the timer after which the guard forgets earlier rounds. */
  stop(): void {
    this.#cancelHealthTimer();
  }

  /** Called when the campaign is over. If the guard has released no round of the campaign, another guard delays the end. */
  async end(): Promise<void> {
    if (this.#isReleased) return;
    const { guard, settings, guardFor, report, callers } = this.#tools;
    const isTold = guard.status(settings.guard).state !== 'open';
    await guardFor('quits').pass(
      'caller',
      { ...settings.guard, capMs: LONGEST_QUIT_MS },
      { calledFrom: this.#calledFrom, listener: isTold ? undefined : report.guard },
    );
    guard.ended();
    await callers.passEndpointLimit(); // a loop may create a new election each time, with a fresh guard
    await clock.sleep(1); // the event loop must turn, even if no guard has delayed the end
  }
}
