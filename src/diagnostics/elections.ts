import type { ElectionHealth, ElectionStatus, GuardReport, GuardStatus, Term } from '../index.ts';

/** The part of an `Election` that the diagnostics use. */
export interface LiveElection {
  readonly name: string;
  readonly status: Omit<ElectionStatus, 'term'> & {
    readonly term: Pick<Term, 'fencingToken' | 'value' | 'leaseId' | 'remainingMs'> | undefined;
  };
  health(): ElectionHealth;
  stepDown(): Promise<void>;
}

/** The elections to show and to watch: those of this process, or those of a test. */
export interface ElectionSource {
  /** Elections with a campaign, and elections whose last campaign failed. */
  elections(): readonly LiveElection[];
  guards(): readonly GuardReport[];
}

/** The elections of this process at one moment, as plain JSON for the worker and for HTTP. */
export interface Snapshot {
  /** Wall clock, in milliseconds since 1970. 0 before the first message of the main thread. */
  readonly at: number;
  readonly electionCount: number;
  /** At most `MOST` elections, the unhealthy ones first. */
  readonly elections: readonly ElectionView[];
  /** At most `MOST` guards, in the order of {@link byUrgency}. An election has one guard for every kind of loop. */
  readonly guards: readonly GuardReport[];
}

export interface ElectionView {
  readonly name: string;
  readonly prefix: string;
  /** As a decimal number. */
  readonly clusterId?: string;
  readonly health: ElectionHealth;
  readonly state: ElectionStatus['state'];
  /** The token is text, because JSON has no bigint and a number would lose digits. */
  readonly term?: {
    readonly fencingToken: string;
    readonly value: string;
    readonly leaseId: string;
    readonly remainingMs: number;
  };
  readonly leader?: { readonly fencingToken: string; readonly value: string; readonly key: string };
  readonly position?: number;
  readonly guard: GuardStatus;
}

/**
 * How many elections, and how many guards, a snapshot has at most. A process may campaign in 10,000 elections. So many would
 * fill the page, and would be slow to send to the worker.
 */
const MOST = 200;

export const NO_SNAPSHOT: Snapshot = { at: 0, electionCount: 0, elections: [], guards: [] };

export function snapshotOf(source: ElectionSource): Snapshot {
  const all = source.elections().map((election) => ({ election, health: election.health() }));
  all.sort((a, b) => urgency(b.health) - urgency(a.health));
  const guards = source.guards().filter(({ rounds }) => rounds > 0);
  guards.sort(byUrgency);
  return {
    at: Date.now(),
    electionCount: all.length,
    elections: all.slice(0, MOST).map(view),
    guards: guards.slice(0, MOST),
  };
}

/** Puts guards that have delayed rounds first. Among those, and among the rest, the guard with the most rounds comes first. */
export const byUrgency = (a: GuardReport, b: GuardReport): number =>
  Number(b.holds > 0) - Number(a.holds > 0) || b.rounds - a.rounds;

const urgency = ({ healthy, reason }: ElectionHealth): number =>
  Number(!healthy) * 2 + Number(reason !== undefined);

function view({
  election: { name, status },
  health,
}: {
  readonly election: LiveElection;
  readonly health: ElectionHealth;
}): ElectionView {
  const { state, term, leader, position, guard, prefix, clusterId } = status;
  return {
    name,
    prefix,
    ...(clusterId !== undefined && { clusterId }),
    health,
    state,
    ...(term && {
      term: {
        fencingToken: String(term.fencingToken),
        value: term.value,
        leaseId: term.leaseId,
        remainingMs: Math.round(term.remainingMs()),
      },
    }),
    ...(leader && {
      leader: { fencingToken: String(leader.fencingToken), value: leader.value, key: leader.key },
    }),
    ...(position !== undefined && { position }),
    guard: { ...guard },
  };
}
