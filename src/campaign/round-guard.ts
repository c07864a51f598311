/**
 * Holds the rounds of one campaign apart: each passes the loop guard of its election.
 */
import type { Origin } from '../core/campaign-state.ts';
import { after, clock } from '../util/clock.ts';
import type { CampaignTools } from './campaign-tools.ts';

/** An honest `close()` while the guard holds must not wait for long, in milliseconds. */
const LONGEST_QUIT_MS = 2_500;

export class RoundGuard {
  readonly #tools: CampaignTools;
  readonly #calledFrom: readonly string[];
  /** Whether the guard has let any round go. */
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
      isBegun: !this.#isReleased,
    });
    if (!signal.aborted) this.#isReleased = true;
  }

  /** We stand. To go on for long enough is progress: then the guard may forget what was before. */
  entered(): void {
    const { guard, settings, report } = this.#tools;
    guard.cameThrough();
    const sinceMs = clock.now();
    this.stop();
    this.#cancelHealthTimer = after(
      settings.guard.healthyAfterMs + 1,
      () => guard.healthyFor(clock.now() - sinceMs, settings.guard, report.guard),
      true,
    );
  }

  /** We do not stand any more. */
  stop(): void {
    this.#cancelHealthTimer();
  }

  /** The campaign is over. If the guard let no round of it go, giving up passes a guard too. */
  async end(): Promise<void> {
    if (this.#isReleased) return;
    const { guard, settings, guardOf, report, callers } = this.#tools;
    const isTold = guard.status(settings.guard).state !== 'open';
    await guardOf('quits').pass(
      'caller',
      { ...settings.guard, capMs: LONGEST_QUIT_MS },
      { calledFrom: this.#calledFrom, listener: isTold ? undefined : report.guard },
    );
    guard.ended();
    await callers.idleOfClient(); // a loop may make a new election each time, whose guard knows of no loop
    await clock.sleep(1);
  }
}
