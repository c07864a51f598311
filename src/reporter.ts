/**
 * Tells what happens to one election, or to what the elections of a client share: bounded in lines.
 */
import pino from 'pino';
import { arrivals } from './guard/arrivals.ts';
import { fullBudget, lastOfTheBurst, OF_ALL, spend, type LineBudget } from './core/line-budget.ts';
import { emit, type ElectionEvent, type Logger } from './events.ts';
import { shared } from './guard/registry.ts';
import { clock } from './time.ts';

let made: Logger | undefined;

/** The logger of those who pass none: pino to standard output, made once, when first needed. */
export const defaultLogger = (): Logger => (made ??= pino({ name: 'etcd-election' }));

export class Reporter {
  readonly #logger: Logger;
  readonly #budget: { now: LineBudget };
  /** Of all elections of the process together. */
  readonly #all: { now: LineBudget };

  /** @param key whose lines are counted together, whichever object writes them. */
  constructor(logger: Logger, key: string) {
    this.#logger = logger;
    // Names that a loop makes up would each bring a burst of lines of their own.
    const first = (): LineBudget => (arrivals().areMany ? lastOfTheBurst : fullBudget)(clock.now());
    this.#budget = shared('lines', key, () => ({ now: first() }));
    this.#all = shared('lines', '', () => ({ now: fullBudget(clock.now(), OF_ALL) }));
  }

  report(event: ElectionEvent): void {
    emit(event, this.#logger, (level) => {
      if (level === 'trace' || level === 'debug' || event.type === 'guard.recovered') return 0;
      const { suppressed } = this.#budget.now;
      if (event.type === 'guard.tripped') {
        // The diagnosis must not drown in the symptoms, nor they go on as if nothing had been said.
        this.#budget.now = lastOfTheBurst(clock.now());
        return suppressed;
      }
      const { budget, written } = spend(this.#budget.now, clock.now());
      this.#budget.now = budget;
      if (!written) return false;
      const all = spend(this.#all.now, clock.now(), OF_ALL);
      this.#all.now = all.budget;
      return all.written ? suppressed : false;
    });
  }
}
