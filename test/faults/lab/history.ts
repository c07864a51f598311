/**
 * What the candidates did, in their own record: one line per fact, on CLOCK_MONOTONIC, which all processes of a
 * machine share. Each line is one synchronous `write`, so that it survives a SIGKILL. The last line may be cut
 * short.
 */

/**
 * The result of an append. `unknown`: it may have happened or not. `refused`: it certainly did not happen.
 * `settled`: it was unknown, and later found to have happened.
 */
export type AppendOutcome = 'acknowledged' | 'refused' | 'unknown' | 'settled';

export interface Append {
  readonly process: string;
  /** Fencing token, or a substitute if the library under test has none. */
  readonly token: bigint;
  /** Continues over all lives of a process, so that each of its appends has its own number. */
  readonly counter: number;
  readonly to: 'etcd' | 'http' | 'list';
  /** Undefined if the process died, or was still waiting. */
  readonly outcome: AppendOutcome | undefined;
  /** When it was sent, and when its outcome was learnt; infinity if it never was. */
  readonly sentMs: number;
  readonly answeredMs: number;
}

/** One process acting as leader: from its first stamp to its last. */
export interface Acting {
  readonly process: string;
  readonly token: bigint;
  /** When it learnt that it leads. */
  readonly electedMs: number;
  readonly firstMs: number;
  readonly lastMs: number;
  readonly stamps: number;
  /** Longest time between two stamps of this term, in milliseconds. */
  readonly longestPauseMs: number;
  /** Why the term ended, as the process reported it; undefined without a report. */
  readonly endedBecause: string | undefined;
  /** Until when its work was still stopping after the end; undefined if it stopped at once. */
  readonly workedUntilMs: number | undefined;
}

export interface ProcessHistory {
  readonly acting: readonly Acting[];
  readonly appends: readonly Append[];
  /** Errors that the caller saw, by code or class, with their counts. */
  readonly errors: ReadonlyMap<string, number>;
}

export const nanosToMs = (nanos: bigint): number => Number(nanos / 1000n) / 1000;

/** Now, on the clock of all histories, in milliseconds. */
export const nowMs = (): number => nanosToMs(process.hrtime.bigint());

type Kind = 'T' | 'S' | 'E' | 'W' | 'I' | 'A' | 'R' | 'U' | 'H' | 'X' | '';

interface OpenTerm {
  readonly token: bigint;
  readonly electedMs: number;
  firstMs: number;
  lastMs: number;
  stamps: number;
  longestPauseMs: number;
  endedBecause: string | undefined;
  workedUntilMs: number | undefined;
}

/**
 * Reads the lines of one process:
 * - `T token nanos`: elected. A token may return after etcd lost its history: that is another term;
 * - `S token nanos`: acting as leader at this moment (read before the check that allowed it);
 * - `E token reason`: the term ended;
 * - `W token nanos`: its work is still stopping;
 * - `I to token counter nanos`, then `A`, `R` or `U` with the same fields: an append and its outcome. After `U`,
 *   `H` or `R` may follow: it was later found to have happened, or not;
 * - `X code`: an error that the caller saw.
 */
export function readHistory(process: string, text: string): ProcessHistory {
  const terms: OpenTerm[] = [];
  const appends = new Map<string, Append>();
  const errors = new Map<string, number>();
  const lastOf = (token: string): OpenTerm | undefined =>
    terms.findLast((term) => term.token === BigInt(token));
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  for (const line of whole.split('\n')) {
    const [kind, ...fields] = line.split(' ') as [Kind, ...string[]];
    switch (kind) {
      case 'T':
        terms.push(termOf(BigInt(fields[0]!), nanosToMs(BigInt(fields[1]!))));
        break;
      case 'S': {
        const atMs = nanosToMs(BigInt(fields[1]!));
        let term = lastOf(fields[0]!);
        if (term === undefined) terms.push((term = termOf(BigInt(fields[0]!), atMs)));
        addStamp(term, atMs);
        break;
      }
      case 'E': {
        const term = lastOf(fields[0]!);
        if (term !== undefined) term.endedBecause ??= fields[1]!;
        break;
      }
      case 'W': {
        const term = lastOf(fields[0]!);
        if (term !== undefined) term.workedUntilMs = nanosToMs(BigInt(fields[1]!));
        break;
      }
      case 'I':
      case 'A':
      case 'R':
      case 'U':
      case 'H':
        addAppend(appends, process, kind, fields);
        break;
      case 'X':
        errors.set(fields[0]!, (errors.get(fields[0]!) ?? 0) + 1);
        break;
      case '':
        break;
    }
  }
  return {
    acting: terms.filter(({ stamps }) => stamps > 0).map((term) => ({ process, ...term })),
    appends: [...appends.values()],
    errors,
  };
}

const termOf = (token: bigint, electedMs: number): OpenTerm => ({
  token,
  electedMs,
  firstMs: 0,
  lastMs: 0,
  stamps: 0,
  longestPauseMs: 0,
  endedBecause: undefined,
  workedUntilMs: undefined,
});

function addStamp(term: OpenTerm, atMs: number): void {
  if (term.stamps === 0) term.firstMs = atMs;
  else term.longestPauseMs = Math.max(term.longestPauseMs, atMs - term.lastMs);
  term.lastMs = atMs;
  term.stamps++;
}

function addAppend(
  appends: Map<string, Append>,
  process: string,
  kind: keyof typeof outcomes,
  [to = '', token = '', counter = '', nanos = '']: readonly string[],
): void {
  const id = `${to} ${token} ${counter}`;
  const atMs = nanosToMs(BigInt(nanos));
  appends.set(id, {
    process,
    token: BigInt(token),
    counter: Number(counter),
    to: to as Append['to'],
    outcome: outcomes[kind],
    sentMs: appends.get(id)?.sentMs ?? atMs,
    answeredMs: kind === 'I' ? Number.POSITIVE_INFINITY : atMs,
  });
}

const outcomes = {
  I: undefined,
  A: 'acknowledged',
  R: 'refused',
  U: 'unknown',
  H: 'settled',
} as const;
