/**
 * Records which replica acted as leader when, and finds overlaps.
 *
 * All times are CLOCK_MONOTONIC in milliseconds, a clock that all processes of a machine share.
 */

/** One record: at this moment `term.isCurrent()` was true in this replica. */
export interface Act {
  readonly replica: string;
  readonly fencingToken: bigint;
  readonly atMs: number;
}

/** All acts of one replica under one fencing token. */
export interface Reign {
  readonly replica: string;
  readonly fencingToken: bigint;
  readonly firstMs: number;
  readonly lastMs: number;
  readonly acts: number;
}

export class History {
  readonly #reigns = new Map<string, Reign>();

  /** Acts may arrive in any order, because they come from several processes. */
  record({ replica, fencingToken, atMs }: Act): void {
    const key = `${replica} ${fencingToken}`;
    const reign = this.#reigns.get(key);
    this.#reigns.set(key, {
      replica,
      fencingToken,
      firstMs: Math.min(reign?.firstMs ?? atMs, atMs),
      lastMs: Math.max(reign?.lastMs ?? atMs, atMs),
      acts: (reign?.acts ?? 0) + 1,
    });
  }

  /** All reigns, in the order of their first acts. */
  get reigns(): Reign[] {
    return [...this.#reigns.values()].sort((a, b) => a.firstMs - b.firstMs);
  }

  get acts(): number {
    return this.reigns.reduce((sum, { acts }) => sum + acts, 0);
  }

  get latest(): Reign | undefined {
    return this.reigns.at(-1);
  }

  /**
   * Returns every pair of reigns that overlap. A reign lasts from its first act to its last. If a frozen replica acts once
   * more, its reign overlaps with every reign that began meanwhile.
   */
  overlaps(): [Reign, Reign][] {
    const { reigns } = this;
    return reigns.flatMap((a, index) =>
      reigns.slice(index + 1).flatMap((b): [Reign, Reign][] => (b.firstMs <= a.lastMs ? [[a, b]] : [])),
    );
  }

  /** Returns every pair of successive reigns in which the later one does not have the larger token. */
  tokensOutOfOrder(): [Reign, Reign][] {
    const { reigns } = this;
    return reigns.flatMap((a, index): [Reign, Reign][] => {
      const b = reigns[index + 1];
      return b !== undefined && b.fencingToken <= a.fencingToken ? [[a, b]] : [];
    });
  }

  leadersAt(atMs: number): string[] {
    return this.reigns
      .filter(({ firstMs, lastMs }) => firstMs <= atMs && atMs <= lastMs)
      .map(({ replica }) => replica);
  }
}

/** CLOCK_MONOTONIC, in milliseconds. */
export const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6;
