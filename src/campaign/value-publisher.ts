/**
 * Keeps the value that our key announces: one writer at a time, the newest value wins, and a value that arrives late
 * is replaced again.
 */
import type { Candidacy } from '../core/campaign-state.ts';
import { proclaim } from '../etcd/election-keys.ts';
import type { EtcdError } from '../etcd/etcd-error.ts';
import type { EtcdTransport } from '../etcd/transport.ts';
import type { GuardSettings, LoopGuard } from '../loop-guard/loop-guard.ts';
import type { EventLog } from '../logging/event-log.ts';
import { CALL_LIMIT_MS } from '../client/session.ts';
import { clock } from '../util/clock.ts';

/** Twenty values at once, then fewer and fewer; each half second of quiet forgives one. */
const ANNOUNCEMENTS: GuardSettings = {
  burst: 20,
  baseMs: 250,
  capMs: 2_500,
  outsideCapMs: 2_500,
  healthyAfterMs: 500,
};

/** How long the watch may take to show what etcd has acknowledged, in milliseconds, before it is written again. */
const WATCH_LAG_MS = 250;

export interface PublisherTools {
  readonly election: string;
  readonly transport: EtcdTransport;
  readonly eventLog: EventLog;
  guardOf(what: 'announcements'): LoopGuard;
}

/** What the publisher asks of its campaign. */
export interface Announced {
  readonly signal: AbortSignal;
  /** Our key, while we wait or lead. */
  candidacy(): Candidacy | undefined;
  /** The value under our key, as far as the watch has shown it. */
  shown(): string | undefined;
  /** etcd has acknowledged this value. */
  onPublished(value: string): void;
}

export class ValuePublisher {
  readonly #tools: PublisherTools;
  readonly #of: Announced;
  #wanted: string;
  #acknowledged: string | undefined;
  #isPublishing = false;
  #isChecking = false;
  /** `term.proclaim()` calls under way: what the watch shows meanwhile may be theirs. */
  #proclaiming = 0;

  constructor(tools: PublisherTools, value: string, of: Announced) {
    this.#tools = tools;
    this.#wanted = value;
    this.#of = of;
  }

  /** The value to announce. */
  get value(): string {
    return this.#wanted;
  }

  /** Announces another value from now on. */
  want(value: string): void {
    this.#wanted = value;
    void this.#publish();
  }

  /** We entered with this value. */
  entered(value: string): void {
    this.#acknowledged = value;
  }

  /** Passed by every announcement, also by `term.proclaim()`. */
  pass(signal: AbortSignal): Promise<void> {
    return this.#tools.guardOf('announcements').pass('environment', ANNOUNCEMENTS, { signal });
  }

  /** Runs a `term.proclaim()`: what it throws at once goes through. */
  proclaiming(proclaim: () => Promise<void>): Promise<void> {
    const proclaimed = proclaim();
    this.#proclaiming++;
    return proclaimed.finally(() => {
      this.#proclaiming--;
      this.check();
    });
  }

  /** `term.proclaim()` has announced this value. */
  proclaimed(value: string): void {
    this.#wanted = value;
    this.#published(value);
  }

  /** The watch may show another value than ours: one whose answer was lost can arrive late, over a newer one. */
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
      if (candidacy === undefined || signal.aborted) break; // entering announces it
      try {
        await proclaim(this.#tools.transport, candidacy, value, { withinMs: CALL_LIMIT_MS, signal });
        this.#published(value);
      } catch (error) {
        if (signal.aborted) break;
        const { eventLog, election } = this.#tools;
        eventLog.report({ type: 'announce.failed', election, reason: (error as EtcdError).message }); // and try again
      }
    }
    this.#isPublishing = false;
    this.check();
  }

  #published(value: string): void {
    this.#acknowledged = value;
    this.#of.onPublished(value);
  }
}
