/**
 * Keeps the newest value under our key in etcd. It sends one announcement at a time. A `term.proclaim()` may be under way
 * too. If an old value arrives late, the newest value is written again.
 */
import type { Candidacy } from '../core/campaign-state.ts';
import { proclaim } from '../etcd/election-keys.ts';
import type { EtcdError } from '../etcd/etcd-error.ts';
import type { EtcdTransport } from '../etcd/transport.ts';
import type { GuardSettings, LoopGuard } from '../loop-guard/loop-guard.ts';
import type { EventLog } from '../logging/event-log.ts';
import { CALL_LIMIT_MS } from '../client/session.ts';
import { clock } from '../util/clock.ts';

/** Twenty announcements pass at once. After that the delays grow, and each half second of quiet permits one more. */
const ANNOUNCEMENTS: GuardSettings = {
  burst: 20,
  baseMs: 250,
  capMs: 2_500,
  outsideCapMs: 2_500,
  healthyAfterMs: 500,
};

/** How long the watch may take to show an acknowledged value, in milliseconds. After that, the value is written again. */
const WATCH_LAG_MS = 250;

export interface PublisherTools {
  readonly election: string;
  readonly transport: EtcdTransport;
  readonly eventLog: EventLog;
  guardFor(what: 'announcements'): LoopGuard;
}

export interface Announced {
  readonly signal: AbortSignal;
  /** Our key, while we wait or lead. */
  candidacy(): Candidacy | undefined;
  /** The value under our key, as the watch has shown it. */
  shown(): string | undefined;
  /** Called when etcd has acknowledged a value. */
  onPublished(value: string): void;
}

export class ValuePublisher {
  readonly #tools: PublisherTools;
  readonly #of: Announced;
  #wanted: string;
  #acknowledged: string | undefined;
  /** How often `campaign()` has set a value. */
  #wants = 0;
  #isPublishing = false;
  #isChecking = false;
  /** How many calls of `term.proclaim()` are under way. Meanwhile the watch may show their values. */
  #proclaiming = 0;

  constructor(tools: PublisherTools, value: string, of: Announced) {
    this.#tools = tools;
    this.#wanted = value;
    this.#of = of;
  }

  get value(): string {
    return this.#wanted;
  }

  want(value: string): void {
    this.#wants++;
    this.#wanted = value;
    this.announce();
  }

  entered(value: string): void {
    this.#acknowledged = value;
  }

  /** Announces our value, if etcd has not acknowledged it yet. */
  announce(): void {
    void this.#publish();
  }

  /** Every announcement passes this guard, including those of `term.proclaim()`. */
  pass(signal: AbortSignal): Promise<void> {
    return this.#tools.guardFor('announcements').pass('environment', ANNOUNCEMENTS, { signal });
  }

  /** Runs `term.proclaim()`. Synchronous errors are thrown to the caller. */
  proclaiming(value: string, proclaim: () => Promise<void>): Promise<void> {
    const proclaimed = proclaim();
    const wantsBefore = this.#wants;
    this.#proclaiming++;
    return proclaimed
      .then(() => {
        if (this.#wants === wantsBefore) this.#wanted = value;
        else void this.#publish(); // `campaign()` has set another value since
      })
      .finally(() => {
        this.#proclaiming--;
        this.check();
      });
  }

  /** Announces our value again if the watch shows another one. An earlier write with a lost answer can arrive late. */
  check(): void {
    if (this.#isChecking || !this.#isReplaced()) return;
    this.#isChecking = true;
    void clock.sleep(WATCH_LAG_MS, this.#of.signal).then(() => {
      this.#isChecking = false;
      if (!this.#isReplaced()) return;
      this.#acknowledged = undefined;
      void this.#publish();
    });
  }

  #isReplaced(): boolean {
    const shown = this.#of.shown();
    return !this.#isPublishing && this.#proclaiming === 0 && shown !== undefined && shown !== this.#wanted;
  }

  async #publish(): Promise<void> {
    if (this.#isPublishing) return;
    this.#isPublishing = true;
    const { signal } = this.#of;
    while (this.#of.candidacy() !== undefined && this.#wanted !== this.#acknowledged) {
      await this.pass(signal);
      const candidacy = this.#of.candidacy();
      const value = this.#wanted;
      if (candidacy === undefined || signal.aborted) break; // the next entry announces it
      try {
        const limits = { withinMs: CALL_LIMIT_MS, signal };
        if (!(await proclaim(this.#tools.transport, candidacy, value, limits))) break; // the key is no longer ours
        this.published(value);
      } catch (error) {
        if (signal.aborted) break;
        const { eventLog, election } = this.#tools;
        eventLog.report({ type: 'announce.failed', election, reason: (error as EtcdError).message }); // and try again
      }
    }
    this.#isPublishing = false;
    this.check();
  }

  /** Records a value that etcd has acknowledged, whether it came from here or from `term.proclaim()`. */
  published(value: string): void {
    this.#acknowledged = value;
    this.#of.onPublished(value);
  }
}
