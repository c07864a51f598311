/**
 * Every public function, and the rows of the matrix that loop around it. Three kinds of answer can come as fast
 * as a loop asks: a success that costs little, a failure that needs no request, and a quick failure from etcd. Each
 * kind has rows for an awaited loop and for an un-awaited flood. A new public function needs a line here,
 * otherwise the types do not check. test/unit/guard-coverage.test.ts checks that the rows exist.
 */
import type { Election, Term } from 'etcd-election';
import type * as main from 'etcd-election';
import type * as dev from 'etcd-election/dev';
import type * as diagnostics from 'etcd-election/diagnostics';
import type * as opentelemetry from 'etcd-election/opentelemetry';
import type * as prometheus from 'etcd-election/prometheus';

/** Names of rows, or the reason why this kind of answer cannot occur. */
export type Cell =
  { readonly loop: readonly string[]; readonly flood: readonly string[] } | { readonly never: string };

export type Coverage =
  /**
   * The function reads or sets memory, answers at once, and at most makes garbage. A loop around it is the
   * caller's own.
   */
  | { readonly memory: string }
  | {
      /** It returns no promise: a loop around it is a flood. */
      readonly sync?: true;
      readonly success: Cell;
      readonly known: Cell;
      readonly etcd: Cell;
    };

/** The rows of every method: called wrongly or without effect when the election is closed and the term has ended. */
export const overRows = (method: string): { loop: string; flood: string } => ({
  loop: `${method} when all is over`,
  flood: `${method} when all is over, un-awaited each turn`,
});
const over = (method: string): Cell => {
  const { loop, flood } = overRows(method);
  return { loop: [loop], flood: [flood] };
};
const never = (why: string): Cell => ({ never: why });
const rows = (loop: readonly string[], flood: readonly string[]): Cell => ({ loop, flood });

const ROUND_TRIP = 'a success costs a round trip to etcd, as requested';
const NOT_SENT = never(
  'it sends no request whose quick failure the caller sees: a failed release is not reported',
);
const FLOOD = 'a flood in one turn that swallows';
const refusedByEtcd = rows(['wrong password, in a loop', 'permission denied, in a loop'], [FLOOD]);
const writes = (method: string): Coverage => ({
  success: never(ROUND_TRIP),
  known: over(method),
  etcd: rows(['txn, in a loop, refused'], ['txn, un-awaited each turn, refused']),
});
const FIELD = { memory: 'a field' } as const;
const LOOK = { memory: 'reads memory; 100,000 reads in one turn throw' } as const;
const registers = (
  method: string,
  success: Cell = never('sync; a flood in one turn throws, and the term ends once'),
): Coverage => ({
  sync: true,
  success,
  known: over(method),
  etcd: never('sends no request to etcd'),
});

type Covered<T> = { readonly [K in keyof T]-?: Coverage };

const election: Covered<Election> = {
  name: FIELD,
  campaign: {
    success: rows(
      ['loop, swallowing', 'loop, the same object', 'campaign, resign, campaign'],
      [
        FLOOD,
        'un-awaited, each 100 ms',
        'ten thousand in one turn',
        'campaign and resign, un-awaited each turn',
      ],
    ),
    known: rows(
      ['a bad value', 'campaign after close', overRows('election.campaign()').loop],
      [overRows('election.campaign()').flood],
    ),
    etcd: refusedByEtcd,
  },
  lead: {
    success: rows(
      [
        'lead of nothing',
        'lead of nothing, a new object each turn',
        'lead, given up at once, a new name each turn',
      ],
      [FLOOD],
    ),
    known: over('election.lead()'),
    etcd: refusedByEtcd,
  },
  stepDown: {
    success: rows(['campaign, stepDown', 'stepDown of nothing'], [overRows('election.stepDown()').flood]),
    known: over('election.stepDown()'),
    etcd: NOT_SENT,
  },
  resign: {
    success: rows(['campaign, resign, campaign', 'resign of nothing'], [overRows('election.resign()').flood]),
    known: over('election.resign()'),
    etcd: NOT_SENT,
  },
  close: {
    success: rows(
      ['close, then new', 'close of what is closed', 'close, a new election each turn'],
      [overRows('election.close()').flood],
    ),
    known: over('election.close()'),
    etcd: NOT_SENT,
  },
  [Symbol.asyncDispose]: { memory: 'is close()' },
  leader: {
    success: rows(
      [
        'leader, polled',
        'leader, polled by ten',
        'leader, polled on new objects',
        'leader, a new name each turn',
        'leader, a new client and a new name each turn',
      ],
      ['leader, un-awaited each turn', 'leader, un-awaited, a new name each turn'],
    ),
    known: over('election.leader()'),
    etcd: rows(['leader, polled, refused'], ['leader, un-awaited, a new name each turn']),
  },
  candidates: {
    success: never('the same read as leader()'),
    known: over('election.candidates()'),
    etcd: never('the same read as leader()'),
  },
  observe: {
    success: rows(
      [
        'observe, broken off',
        'observe, broken off, a new name each turn',
        'observe, ended before it begins',
        'observe, each ended by a timeout',
      ],
      [
        'observe, broken off, un-awaited each turn',
        'observe, never read, each turn',
        'observe, next() un-awaited each turn',
        'observe, left open, each turn',
      ],
    ),
    known: over('election.observe()'),
    etcd: never('an observer waits through outages; a refusal is as slow as that of leader()'),
  },
  status: LOOK,
  currentTerm: LOOK,
  isCurrent: LOOK,
  health: LOOK,
};

const term: Covered<Term> = {
  election: FIELD,
  value: FIELD,
  key: FIELD,
  leaseId: FIELD,
  fencingToken: FIELD,
  signal: FIELD,
  isCurrent: { memory: 'compares two clocks; after the end it counts as a read' },
  remainingMs: { memory: 'compares two clocks; after the end it counts as a read' },
  heartbeat: { memory: 'notes the time' },
  assertCurrent: {
    sync: true,
    success: never('compares two clocks'),
    known: rows([overRows('term.assertCurrent()').loop], [overRows('term.assertCurrent()').flood]),
    etcd: never('sends no request to etcd'),
  },
  proclaim: {
    success: rows(['proclaim, in a loop'], ['proclaim, un-awaited each turn']),
    known: over('term.proclaim()'),
    etcd: rows(['txn, in a loop, refused'], ['txn, un-awaited each turn, refused']),
  },
  txn: {
    ...writes('term.txn()'),
    success: rows(['txn, never committed, each turn'], ['txn, never committed, each turn']),
  },
  put: writes('term.put()'),
  delete: writes('term.delete()'),
  settle: writes('term.settle()'),
  run: {
    success: rows(['run of nothing, in a loop'], ['run that never ends, each turn']),
    known: over('term.run()'),
    etcd: never('sends no request to etcd'),
  },
  every: registers('term.every()', rows(['every, each turn'], ['every, each turn'])),
  onEnd: registers('term.onEnd()', rows(['onEnd, each turn'], ['onEnd, each turn'])),
  stepDown: { ...registers('term.stepDown()'), success: rows(['onLeader steps down'], [FLOOD]) },
  resign: {
    ...registers('term.resign()'),
    success: rows(['onLeader resigns, onFollower campaigns'], [FLOOD]),
  },
};

const ERROR = { memory: 'a class of errors' } as const;
const BY_HAND = {
  memory: 'a tool: each call records for seconds, binds a port, or processes its argument',
} as const;
const IN_TESTS = {
  memory: 'for tests and development: it starts a process, binds a port, or looks for a file',
} as const;
const ONCE = { memory: 'called once at start; a second call throws, or makes its own meters' } as const;

export const coverage: {
  readonly election: Covered<Election>;
  readonly term: Covered<Term>;
  readonly '.': Covered<typeof main>;
  readonly './diagnostics': Covered<typeof diagnostics>;
  readonly './prometheus': Covered<typeof prometheus>;
  readonly './opentelemetry': Covered<typeof opentelemetry>;
  readonly './dev': Covered<typeof dev>;
} = {
  election,
  term,
  '.': {
    Election: {
      sync: true,
      success: rows(
        ['loop, swallowing', 'a new name each turn'],
        [
          'a flood of new objects in one turn that swallows',
          'a flood of new names in one turn that swallows',
          'a new election each turn, never used',
        ],
      ),
      known: rows(['a bad name'], ['a flood of new names in one turn that swallows']),
      etcd: never('sends no request to etcd'),
    },
    liveElections: { memory: 'a list of active elections' },
    failedElections: { memory: 'a list of failed elections' },
    loopGuards: { memory: 'a list of the guards' },
    channelNames: FIELD,
    AlreadyStandingError: ERROR,
    ElectionClosedError: ERROR,
    ElectionError: ERROR,
    InvalidInputError: ERROR,
    LeadershipLostError: ERROR,
    OutcomeUnknownError: ERROR,
    RefusedError: ERROR,
    RunawayLoopError: ERROR,
    UnavailableError: ERROR,
  },
  './diagnostics': {
    startWatchdog: BY_HAND,
    serveDiagnostics: BY_HAND,
    diagnosticsHandler: BY_HAND,
    captureProfile: BY_HAND,
    captureProcess: BY_HAND,
    closeInspector: BY_HAND,
    parseCpuProfile: BY_HAND,
    toFlameGraph: BY_HAND,
    toFlameGraphSvg: BY_HAND,
    toPprof: BY_HAND,
    toTop: BY_HAND,
    findSuspects: BY_HAND,
    DiagnosticsError: ERROR,
  },
  './prometheus': { electionMetrics: ONCE },
  './opentelemetry': { electionTelemetry: ONCE },
  './dev': {
    EtcdStartError: ERROR,
    EtcdNotFoundError: ERROR,
    startEtcd: IN_TESTS,
    etcdPath: IN_TESTS,
    etcdctlPath: IN_TESTS,
    startProxy: IN_TESTS,
    findEndpoints: IN_TESTS,
    provideEtcd: IN_TESTS,
    resetLoopGuards: { memory: 'clears maps' },
  },
};

/** Methods with their own rows for calls without effect. */
export const methodsWithRows: readonly string[] = (['election', 'term'] as const).flatMap((of) =>
  Object.entries(coverage[of] as Record<string, Coverage>)
    .filter(([, covered]) => !('memory' in covered))
    .map(([name]) => `${of}.${name}()`),
);
