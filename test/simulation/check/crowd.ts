/** S1 to S3, L3 and L5 for each of the additional elections. */
import type { SeatStamp } from '../world/record.ts';
import type { World } from '../world/world.ts';
import type { Violation } from './violation.ts';

interface Held {
  readonly who: string;
  readonly token: bigint;
  readonly firstMs: number;
  lastMs: number;
}

export function crowdBroke({ record, processes }: World): readonly Violation[] {
  const elections = new Map<string, SeatStamp[]>();
  for (const stamp of record.seats) {
    const stamps = elections.get(stamp.election) ?? [];
    elections.set(stamp.election, stamps);
    stamps.push(stamp);
  }
  const alive = new Set(processes.filter(({ isAlive }) => isAlive).map(({ name }) => name));
  const still = record.seatsAtEnd.filter(({ process, stands }) => alive.has(process) && !stands);
  return [
    ...[...elections].flatMap(([election, stamps]) => twoLeaders(election, termsOf(stamps))),
    ...record.refusedSeats.map((what) => ({ promise: 'L3', what })),
    ...still.map(({ process, election, seat }) => ({
      promise: 'L3',
      what: `${process} does not stand in ${election} (seat ${seat}) at the end`,
    })),
  ];
}

/** In order of their beginnings. */
function termsOf(stamps: readonly SeatStamp[]): readonly Held[] {
  const terms = new Map<string, Held>();
  for (const { process, seat, token, atMs } of stamps) {
    const id = `${process} ${seat} ${token}`;
    const known = terms.get(id);
    if (known === undefined)
      terms.set(id, { who: `${process} (seat ${seat})`, token: BigInt(token), firstMs: atMs, lastMs: atMs });
    else known.lastMs = Math.max(known.lastMs, atMs);
  }
  return [...terms.values()].sort((a, b) => a.firstMs - b.firstMs);
}

function twoLeaders(election: string, terms: readonly Held[]): readonly Violation[] {
  return terms.slice(1).flatMap((term, index): Violation[] => {
    const before = terms[index]!;
    if (term.token <= before.token)
      return [
        {
          promise: 'S1',
          what: `${election}: token ${term.token} of ${term.who} after ${before.token} of ${before.who}`,
        },
      ];
    if (term.firstMs >= before.lastMs) return [];
    return [{ promise: 'S2', what: `${election}: ${before.who} still led when ${term.who} began` }];
  });
}
