/**
 * The names of elections that the metrics show. A program may put IDs into names, so finished elections must not stay for
 * ever.
 */
import type { Beginning, Origin } from './beginnings.ts';

/**
 * How many finished elections always stay. We assume that a program has fewer elections with fixed names. Their
 * counters must not start at 0 again.
 */
const KEPT = 100;
/**
 * How long other finished elections stay, in milliseconds, so that a scrape sees their last values. Scrape intervals are
 * shorter, because Prometheus by default ignores a value older than five minutes.
 */
const KEPT_MS = 300_000;
/** Beyond this number the oldest finished elections are removed at once. */
export const MOST_FINISHED = 1_000;

export interface ShownElection {
  /** When the election last had an event, or a read last found it in use. */
  lastMs: number;
  /** The groups of metrics that have begun at 0. Empty while only the loop guard knows the election. */
  readonly begun: Set<readonly Beginning[]>;
  /** The cause of the guard's last trip. */
  trippedBy: Origin;
}

export class ShownElections {
  readonly #byName = new Map<string, ShownElection>();
  readonly #most: number;

  /** @param most how many elections are shown at most. */
  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#byName.size;
  }

  has(name: string): boolean {
    return this.#byName.has(name);
  }

  entries(): [name: string, shown: ShownElection][] {
    return [...this.#byName];
  }

  /** Shows an election, and notes that it is in use. @returns undefined if too many are shown. */
  touch(name: string): ShownElection | undefined {
    const lastMs = performance.now();
    const known = this.#byName.get(name);
    if (known === undefined && this.size >= this.#most) return undefined;
    const shown = known ?? { lastMs, begun: new Set(), trippedBy: 'environment' };
    shown.lastMs = lastMs;
    this.#byName.set(name, shown);
    return shown;
  }

  /**
   * Removes the finished elections that need not stay.
   *
   * @param live the elections that have a campaign, or whose last campaign has failed.
   * @returns the names of the removed elections.
   */
  forget(live: ReadonlySet<string>): string[] {
    const oldestMs = performance.now() - KEPT_MS;
    const finished = this.entries()
      .filter(([name]) => !live.has(name))
      .sort(([, a], [, b]) => a.lastMs - b.lastMs);
    const gone = finished.filter(([, { lastMs }], index) => {
      const newer = finished.length - 1 - index;
      return newer >= MOST_FINISHED || (newer >= KEPT && lastMs < oldestMs);
    });
    return gone.map(([name]) => {
      this.#byName.delete(name);
      return name;
    });
  }
}
