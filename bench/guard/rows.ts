/** The rows of the matrix: every way to spin that we could think of. */
import * as faults from './faults.ts';
import type { Fault } from './faults.ts';
import { methodsWithRows, overRows } from './coverage.ts';
import type { StageOptions } from './stage.ts';

export interface Bounds {
  readonly cpuPercent: number;
  readonly callsPerSecond: number;
  readonly dialsPerSecond: number;
  readonly linesPerMinute: number;
  readonly leadsAgainMs: number;
  /** Growth in a minute below which it is noise: code that V8 compiled, buffers it kept; timers in flight. */
  readonly heapKiB: number;
  readonly handles: number;
}

export const bounds: Bounds = {
  cpuPercent: 1,
  callsPerSecond: 2,
  dialsPerSecond: 1,
  linesPerMinute: 6,
  leadsAgainMs: 3_000,
  heapKiB: 768,
  handles: 2,
};

export interface Row {
  readonly group: 'caller' | 'callbacks' | 'etcd' | 'operators' | 'etcd3';
  readonly name: string;
  /** What the process does; the row's name where nothing is said. */
  readonly scenario?: string;
  readonly stage?: StageOptions;
  readonly fault?: Fault;
  readonly credentials?: string;
  /** Methods that the process calls itself, past us. */
  readonly userCalls?: readonly string[];
  /** Whether it should lead before the cause appears. */
  readonly leadsFirst?: boolean;
  /** Who spoils the rounds: the world (back within 3 s) or the caller's own work (held back longer and longer). */
  readonly origin?: 'environment' | 'caller';
  /** What happens at first, and is not measured, takes longer: many may come at once, and do. In milliseconds. */
  readonly warmUpMs?: number;
  /** Whether a program may mean it, so that it is not held; told apart from the rows that must be inside all bounds. */
  readonly mayBeMeant?: boolean;
  /** Where other bounds hold, and why. */
  readonly except?: Partial<Bounds> & { readonly why: string };
}

const caller = (names: readonly string[]): Row[] => names.map((name) => ({ group: 'caller', name }));
const callbacks = (names: readonly string[]): Row[] => names.map((name) => ({ group: 'callbacks', name }));

const standing = (name: string, fault: Fault, more: Partial<Row> = {}): Row => ({
  group: 'etcd',
  name,
  scenario: 'stand',
  fault,
  leadsFirst: true,
  origin: 'environment',
  ...more,
});

const READS = {
  callsPerSecond: 3,
  why: 'judged by the budget of reads: 20 a second at most; who asks again at once gets one, besides what a lease and a watch cost',
};

/** Three hundred one by one go at once: on a busy machine they take longer than the first seconds. */
const ONE_BY_ONE_MS = 20_000;

/** Un-awaited calls of which so many may come at once that it takes a while until the thread sleeps. */
const flooding = (name: string, more: Partial<Row> = {}): Row => ({
  group: 'caller',
  name,
  warmUpMs: 15_000,
  except: SLEEPS,
  ...more,
});

const SLEEPS = {
  cpuPercent: 3,
  why: 'nobody awaits it, so no timer can hold it: the thread sleeps 100 ms in each turn, and what is left are its own rounds',
};

const TIMER = {
  cpuPercent: 12,
  why: 'work that is over at once is answered by a timer of a millisecond: 700 rounds a second of the work itself',
};

/** 0.94 a second at length; the first tries, which would save the lease, come sooner and fall into the window. */
const FAILING = {
  dialsPerSecond: 1.1,
  why: 'gRPC dials once more for each client that is replaced, and the tries to save the lease fall into the window: 0.94 a second at length',
};

const UNAWAITED_WRITES = {
  cpuPercent: 8,
  dialsPerSecond: 1.1,
  why: 'each write is tried, for etcd may be back; beyond 500 failures a second that are known without it, the thread sleeps',
};

const TWO_CLIENTS = {
  callsPerSecond: 2.6,
  why: 'the first client leads, the second stands behind it, each with a lease and a watch of its own: 1.2 messages a second each',
};

const HONEST = {
  cpuPercent: 2,
  callsPerSecond: 4,
  linesPerMinute: 30,
  heapKiB: 2_048,
  why: 'a job every two seconds is honest: a lease, an entry and a release each time, and lines as long as the budget lasts',
};

const CROWD = {
  cpuPercent: 8,
  callsPerSecond: 25,
  heapKiB: 2_048,
  why: 'side by side, 5,000 at once and then 20 a second: a program may mean them; beyond 1,000 that wait it is refused',
};

export const rows: readonly Row[] = [
  ...caller([
    'loop, swallowing',
    'loop, not catching',
    'loop, the same object',
    'loop, the same object, another value each turn',
    'campaign, resign, campaign',
    'campaign, stepDown',
    'lead of nothing',
    'lead of nothing, a new object each turn',
    'close, then new',
    'campaign after close',
    'a bad value',
    'a bad name',
    'resign of nothing',
    'stepDown of nothing',
    'close of what is closed',
    'close, a new election each turn',
    'observe, broken off',
    'observe, broken off, a new object each turn',
    'observe, ended before it begins',
  ]),
  { group: 'caller', name: 'loop, a new client each turn', except: TWO_CLIENTS },
  {
    group: 'caller',
    name: 'a new name each turn',
    warmUpMs: ONE_BY_ONE_MS,
    except: {
      handles: 22,
      why: 'each election that stands has one timer, and one more stands each three seconds',
    },
  },
  { group: 'caller', name: 'observe, each ended by a timeout' },
  { group: 'caller', name: 'lead, given up at once, a new name each turn', warmUpMs: 2 * ONE_BY_ONE_MS },
  {
    group: 'caller',
    name: 'leader, a new client and a new name each turn',
    warmUpMs: 2 * ONE_BY_ONE_MS,
    except: { ...READS, cpuPercent: 4, heapKiB: 4_096 },
  },
  { group: 'caller', name: 'leader, polled', except: READS },
  { group: 'caller', name: 'leader, polled by ten', except: READS },
  { group: 'caller', name: 'leader, polled on new objects', except: READS },
  { group: 'caller', name: 'leader, a new name each turn', warmUpMs: ONE_BY_ONE_MS, except: READS },
  {
    group: 'caller',
    name: 'leader, polled, refused',
    scenario: 'leader, polled',
    fault: faults.refused,
    origin: 'caller',
    except: FAILING,
  },
  {
    group: 'caller',
    name: 'observe, broken off, a new name each turn',
    warmUpMs: ONE_BY_ONE_MS,
    except: READS,
  },
  { group: 'caller', name: 'proclaim, in a loop' },
  flooding('proclaim, un-awaited each turn', {
    except: {
      cpuPercent: 12,
      why: 'five thousand writes a second may be meant; beyond that the thread sleeps',
    },
  }),
  { group: 'caller', name: 'run of nothing, in a loop', except: TIMER },
  ...[
    'leader, un-awaited each turn',
    'observe, never read, each turn',
    'observe, next() un-awaited each turn',
    'observe, left open, each turn',
    'run that never ends, each turn',
    'onEnd, each turn',
    'txn, never committed, each turn',
  ].map((name) => flooding(name)),
  flooding('campaign and resign, un-awaited each turn', {
    warmUpMs: 40_000,
    except: {
      cpuPercent: 25,
      why: 'a thousand callers may wait for the next campaign, and each resign() answers all of them with an error',
    },
  }),
  flooding('every, each turn', {
    except: { cpuPercent: 10, why: 'a thousand jobs, as many as a term takes, are called each second' },
  }),
  flooding('a new election each turn, never used', {
    warmUpMs: 30_000,
    except: {
      cpuPercent: 6,
      why: 'a thousand new elections a second: a busy service may make one for each request',
    },
  }),
  { group: 'caller', name: 'lead of nothing, every two seconds', mayBeMeant: true, except: HONEST },
  ...['txn, in a loop', 'txn, un-awaited each turn'].map((scenario): Row => ({
    group: 'caller',
    name: `${scenario}, refused`,
    scenario,
    fault: faults.refused,
    leadsFirst: true,
    origin: 'caller',
    except: scenario.includes('un-awaited') ? UNAWAITED_WRITES : FAILING,
  })),
  flooding('leader, un-awaited, a new name each turn', { warmUpMs: 60_000, except: CROWD }),
  flooding('observe, broken off, un-awaited each turn', {
    warmUpMs: 40_000,
    except: {
      cpuPercent: 8,
      callsPerSecond: 35,
      handles: 8,
      why: 'a hundred may wait, each for up to 16 s: ten a second read and watch',
    },
  }),
  ...methodsWithRows.flatMap((method): Row[] => {
    const { loop, flood } = overRows(method);
    return [{ group: 'caller', name: loop }, flooding(flood)];
  }),
  ...caller([
    'ten thousand in one turn',
    'a flood in one turn that swallows',
    'a flood of new objects in one turn that swallows',
    'a flood of new names in one turn that swallows',
    'un-awaited, each 100 ms',
    'un-awaited, a new object each 100 ms',
    'un-awaited, a new object each turn',
    'un-awaited, another value each 100 ms',
  ]),
  {
    group: 'caller',
    name: 'lead of nothing, a new name each turn',
    mayBeMeant: true,
    warmUpMs: 2 * ONE_BY_ONE_MS,
    except: {
      callsPerSecond: 3,
      why: 'a job under a name of its own each turn, with a lease of its own: five messages each 2.35 to 2.5 s',
    },
  },
  {
    group: 'caller',
    name: 'un-awaited, a new client each 100 ms',
    mayBeMeant: true,
    except: {
      cpuPercent: 5,
      callsPerSecond: 40,
      heapKiB: 8_192,
      handles: 100,
      why: 'each client that stands keeps a lease and a watch of its own: 0.9 messages a second; 32 of them at most',
    },
  },
  {
    group: 'caller',
    name: 'un-awaited, a new name each 100 ms',
    mayBeMeant: true,
    except: {
      cpuPercent: 5,
      callsPerSecond: 40,
      linesPerMinute: 700,
      heapKiB: 32_768,
      handles: 620,
      why: 'side by side, up to 16,384 names: a program may mean them; each that stands has one timer',
    },
  },
  {
    group: 'caller',
    name: 'un-awaited, each turn, while another leads',
    fault: faults.foreignLeader,
    origin: 'environment',
  },
  ...callbacks([
    'onLeader throws',
    'onLeader rejects',
    'onLeader returns at once',
    'onLeader never settles',
    'onLeader resigns, onFollower campaigns',
    'onLeader steps down',
    'onLeader campaigns again',
    'onLeader closes, and a new one stands',
    'a logger that throws',
    'a listener that throws',
  ]),
  { group: 'callbacks', name: 'onFollower campaigns', fault: faults.foreignLeader, origin: 'environment' },
  { group: 'callbacks', name: 'onFollower throws', fault: faults.foreignLeader, origin: 'environment' },
  {
    ...standing('key deleted each 200 ms, onLeader never settles', faults.keyDeleted),
    group: 'callbacks',
    scenario: 'onLeader never settles',
    origin: 'caller',
  },
  standing('refused', faults.refused),
  standing('reset on accept', faults.resetOnAccept),
  standing('accepts and says nothing', faults.silent),
  standing('dies and comes back each second', faults.flapping),
  standing('no quorum', faults.noQuorum, { stage: { members: 3 } }),
  standing('NOSPACE alarm', faults.noSpace, { stage: { extraArgs: ['--quota-backend-bytes=4194304'] } }),
  {
    group: 'etcd',
    name: 'wrong password, in a loop',
    scenario: 'loop, swallowing',
    fault: faults.wrongPassword(),
    credentials: 'matrix:wrong',
    origin: 'caller',
  },
  {
    group: 'etcd',
    name: 'permission denied, in a loop',
    scenario: 'loop, swallowing',
    fault: faults.permissionDenied(),
    credentials: 'matrix:right',
    origin: 'caller',
  },
  standing('tokens expire each second', faults.tokensExpire(), { credentials: 'matrix:right' }),
  standing('TLS mismatch', faults.tlsMismatch, { leadsFirst: false }),
  standing('name not resolvable', faults.noSuchName, { leadsFirst: false }),
  standing('one of three frozen', faults.frozenMember(), { stage: { members: 3 } }),
  standing('slow, 2 s an answer', faults.slow),
  standing('too many requests', faults.tooManyRequests()),
  standing('refused, in the loop', faults.refused, { scenario: 'loop, swallowing', origin: 'caller' }),
  standing('key deleted each 200 ms', faults.keyDeleted, { group: 'operators' }),
  standing('lease revoked each 200 ms', faults.leaseRevoked, { group: 'operators' }),
  standing('compaction each second', faults.compaction, { group: 'operators' }),
  standing('key deleted each 200 ms among 1,000 foreign keys', faults.fullPrefix, {
    group: 'operators',
    except: {
      cpuPercent: 2,
      why: 'each entry reads the queue: a thousand keys each 2.4 s cost the bare client 0.5 to 0.8 %; 0.9 to 1.6 % in five runs',
    },
  }),
  standing('foreign keys, ten a second', faults.foreignKeys(100), { group: 'operators' }),
  standing('foreign keys, fifty a second', faults.foreignKeys(20), {
    group: 'operators',
    except: {
      cpuPercent: 4,
      why: 'etcd sends each write under the prefix: to receive fifty a second costs the bare client 2.0 to 2.7 %, and us 0.1 to 0.2 more',
    },
  }),
  {
    group: 'etcd3',
    name: "the user's fixed deadlines open the breaker",
    scenario: "the user's calls keep the breaker open",
    userCalls: ['Range'],
  },
  standing("refused, the user's calls open the breaker", faults.refused, {
    group: 'etcd3',
    scenario: "the user's calls fail too",
    userCalls: ['Range'],
    except: {
      dialsPerSecond: 1.6,
      why: "the user's own client dials the endpoint too, half as often as we do",
    },
  }),
  { group: 'etcd3', name: 'client closed under us', origin: 'caller' },
];
