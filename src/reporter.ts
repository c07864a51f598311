/**
 * Tells what happens to one election, or to what the elections of a client share: bounded in lines.
 */
import pino from 'pino';
import { fullBudget, spend, type LineBudget } from './core/line-budget.ts';
import { emit, type ElectionEvent, type Logger } from './events.ts';
import { shared } from './registry.ts';
import { clock } from './time.ts';

/** The diagnosis must not drown in the symptoms, and it is told once a trip. */
const UNBUDGETED: ReadonlySet<string> = new Set(['guard.tripped', 'guard.recovered']);

let made: Logger | undefined;

/** The logger of those who pass none: pino to standard output, made once, when first needed. */
export const defaultLogger = (): Logger => (made ??= pino({ name: 'etcd-election' }));

export class Reporter {
  readonly #logger: Logger;
  readonly #budget: { now: LineBudget };

  /** @param key whose lines are counted together, whichever object writes them. */
  constructor(logger: Logger, key: string) {
    this.#logger = logger;
    this.#budget = shared('lines', key, () => ({ now: fullBudget(clock.now()) }));
  }

  report(event: ElectionEvent): void {
    emit(event, this.#logger, (level) => {
      if (level === 'trace' || level === 'debug' || UNBUDGETED.has(event.type)) return 0;
      const { suppressed } = this.#budget.now;
      const { budget, written } = spend(this.#budget.now, clock.now());
      this.#budget.now = budget;
      return written ? suppressed : false;
    });
  }
}
