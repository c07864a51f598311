/** The history of a world in the reports of its processes. The checker of the fault lab judges it. */
import type { Acting, Append, AppendOutcome } from '../../faults/lab/history.ts';
import type { Fact } from '../inside/host.ts';

interface Term {
  readonly process: string;
  readonly token: bigint;
  readonly electedMs: number;
  firstMs: number;
  lastMs: number;
  stamps: number;
  longestPauseMs: number;
  endedBecause: string | undefined;
  workedUntilMs: number | undefined;
}

/** A process led an additional election at this moment. */
export interface SeatStamp {
  readonly process: string;
  readonly election: string;
  readonly seat: number;
  readonly token: string;
  readonly leaseId: string;
  readonly atMs: number;
}

export interface Told {
  readonly process: string;
  readonly atMs: number;
  readonly fact: Fact;
}

export class Record {
  readonly #terms: Term[] = [];
  readonly #last = new Map<string, Term>();
  /** The unfinished terms, by process. */
  readonly #held = new Map<string, { readonly key: string; readonly leaseId: string }>();
  /** The process that was elected last. */
  lastElected: string | undefined;
  readonly #appends = new Map<string, Append>();
  readonly errors = new Map<string, number>();
  readonly seats: SeatStamp[] = [];
  readonly refusedSeats: string[] = [];
  readonly seatsAtEnd: {
    readonly process: string;
    readonly election: string;
    readonly seat: number;
    readonly stands: boolean;
  }[] = [];
  readonly seenAtEnd: (Extract<Fact, { type: 'sees' }> & { readonly process: string })[] = [];
  /** All facts in order, for the timeline. */
  readonly told: Told[] = [];

  add(process: string, fact: Fact, atMs: number): void {
    if (fact.type === 'seat') return void this.seats.push({ process, ...fact, atMs });
    if (fact.type === 'sees') return void this.seenAtEnd.push({ process, ...fact });
    if (fact.type === 'seat-stands') return void this.seatsAtEnd.push({ process, ...fact });
    this.told.push({ process, atMs, fact });
    switch (fact.type) {
      case 'elected':
        this.#begin(process, BigInt(fact.token), atMs);
        this.#held.set(process, fact);
        this.lastElected = process;
        break;
      case 'acting':
        this.#stamp(this.#termOf(process, fact.token), atMs);
        break;
      case 'ended':
        this.#termOf(process, fact.token).endedBecause ??= fact.because;
        this.#held.delete(process);
        break;
      case 'still-working':
        this.#termOf(process, fact.token).workedUntilMs = atMs;
        break;
      case 'append':
        this.#append(process, fact, undefined, atMs);
        break;
      case 'appended':
        this.#append(process, fact, fact.outcome, atMs);
        break;
      case 'error':
        this.errors.set(fact.code, (this.errors.get(fact.code) ?? 0) + 1);
        break;
      case 'seat-refused':
        this.refusedSeats.push(`${process}: ${fact.election} (seat ${fact.seat}) ended: ${fact.code}`);
        break;
      case 'stopped-late':
      case 'follower':
      case 'campaign-ended':
      case 'left':
      case 'stands':
      case 'resigns':
        break;
    }
  }

  get acting(): readonly Acting[] {
    return this.#terms.filter(({ stamps }) => stamps > 0);
  }

  get appends(): readonly Append[] {
    return [...this.#appends.values()];
  }

  /** The process is gone, and cannot report the end of its term. */
  gone(process: string): void {
    this.#held.delete(process);
  }

  heldBy(process: string): { readonly key: string; readonly leaseId: string } | undefined {
    return this.#held.get(process);
  }

  electedMs(process: string, token: string): number {
    return this.#termOf(process, token).electedMs;
  }

  get terms(): number {
    return this.#terms.length;
  }

  #begin(process: string, token: bigint, atMs: number): void {
    const term: Term = {
      process,
      token,
      electedMs: atMs,
      firstMs: 0,
      lastMs: 0,
      stamps: 0,
      longestPauseMs: 0,
      endedBecause: undefined,
      workedUntilMs: undefined,
    };
    this.#terms.push(term);
    this.#last.set(`${process} ${token}`, term);
  }

  #termOf(process: string, token: string): Term {
    return this.#last.get(`${process} ${token}`)!;
  }

  #stamp(term: Term, atMs: number): void {
    if (term.stamps === 0) term.firstMs = atMs;
    else term.longestPauseMs = Math.max(term.longestPauseMs, atMs - term.lastMs);
    term.lastMs = Math.max(term.lastMs, atMs);
    term.stamps++;
  }

  #append(
    process: string,
    {
      to,
      token,
      counter,
    }: { readonly to: 'etcd' | 'http'; readonly token: string; readonly counter: number },
    outcome: AppendOutcome | undefined,
    atMs: number,
  ): void {
    const id = `${process} ${to} ${counter}`;
    const before = this.#appends.get(id);
    this.#appends.set(id, {
      process,
      token: BigInt(token),
      counter,
      to,
      outcome,
      sentMs: before?.sentMs ?? atMs,
      answeredMs: outcome === undefined ? Number.POSITIVE_INFINITY : atMs,
    });
  }
}
