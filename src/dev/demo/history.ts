/**
 * Who acted as leader when: what the replicas stamped, and what follows from it.
 *
 * All times are CLOCK_MONOTONIC in milliseconds, which the processes of one machine share.
 */

/** One stamp: at this moment this replica held that it leads. */
export interface Act {
  readonly replica: string;
  readonly fencingToken: bigint;
  readonly atMs: number;
}

/** One replica's acts under one fencing token. */
export interface Reign {
  readonly replica: string;
  readonly fencingToken: bigint;
  readonly firstMs: number;
  readonly lastMs: number;
  readonly acts: number;
}

export class History {
  readonly #reigns = new Map<string, Reign>();

  /** Acts may come in any order: each process has a pipe of its own. */
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

  /** In order of their first act. */
  get reigns(): Reign[] {
    return [...this.#reigns.values()].sort((a, b) => a.firstMs - b.firstMs);
  }

  get acts(): number {
    return this.reigns.reduce((sum, { acts }) => sum + acts, 0);
  }

  /** The reign that began last. */
  get latest(): Reign | undefined {
    return this.reigns.at(-1);
  }

  /**
   * Every pair that led at once: each acted before the other had acted for the last time. The time between two acts of one
   * reign counts as led, so a replica that was frozen, and acts once more, overlaps with whoever led meanwhile.
   */
  overlaps(): [Reign, Reign][] {
    const { reigns } = this;
    return reigns.flatMap((a, index) =>
      reigns.slice(index + 1).flatMap((b): [Reign, Reign][] => (b.firstMs <= a.lastMs ? [[a, b]] : [])),
    );
  }

  /** Every pair of which the later did not have the larger token. */
  tokensOutOfOrder(): [Reign, Reign][] {
    const { reigns } = this;
    return reigns.flatMap((a, index): [Reign, Reign][] => {
      const b = reigns[index + 1];
      return b !== undefined && b.fencingToken <= a.fencingToken ? [[a, b]] : [];
    });
  }

  /** Who led at this instant. */
  leadersAt(atMs: number): string[] {
    return this.reigns
      .filter(({ firstMs, lastMs }) => firstMs <= atMs && atMs <= lastMs)
      .map(({ replica }) => replica);
  }
}

/** CLOCK_MONOTONIC, in milliseconds. */
export const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6;
