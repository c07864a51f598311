/** The rows in which the caller goes round in a loop through our API. */
import * as faults from './faults.ts';
import { methodsWithRows, overRows } from './coverage.ts';
import type { Row } from './bounds.ts';

const caller = (names: readonly string[]): Row[] => names.map((name) => ({ group: 'caller', name }));

const READS = {
  callsPerSecond: 3,
  why: 'Reads have their own limit: 20 a second, or one a second for a loop without a pause. The lease and the watch send the other messages.',
};

/** Three hundred elections start one after another without delay. A busy machine needs this long for them. */
const ONE_BY_ONE_MS = 20_000;

/** Un-awaited calls. Many may start at once, so the thread sleeps only after a while. */
const flooding = (name: string, more: Partial<Row> = {}): Row => ({
  group: 'caller',
  name,
  warmUpMs: 15_000,
  except: SLEEPS,
  ...more,
});

const SLEEPS = {
  cpuPercent: 3,
  why: 'Nobody awaits these calls, so no timer can delay the loop. Instead, the thread sleeps 100 ms in each turn.',
};

const TIMER = {
  cpuPercent: 12,
  why: 'The work ends at once, and a timer delays each call by 1 ms. So the work runs 700 times a second.',
};

/** In the long run, at most 0.94 dials a second. The first tries may still save the lease, so they come sooner. The window includes them. */
const FAILING = {
  dialsPerSecond: 1.1,
  why: 'The first tries come sooner, because they may still save the lease. The measured time includes them.',
};

const UNAWAITED_WRITES = {
  cpuPercent: 8,
  dialsPerSecond: 1.1,
  why: 'Each write is tried, because etcd may be back. If more than 500 writes a second fail locally, the thread sleeps.',
};

const TWO_CLIENTS = {
  callsPerSecond: 2.6,
  why: 'The first client leads and the second waits. Each has its own lease and watch, and sends 1.2 messages a second.',
};

const HONEST = {
  cpuPercent: 2,
  callsPerSecond: 4,
  linesPerMinute: 30,
  heapKiB: 2_048,
  why: 'Each job takes a lease, enters and releases. It writes log lines until the quota is used up.',
};

const CROWD = {
  cpuPercent: 8,
  callsPerSecond: 25,
  heapKiB: 2_048,
  why: 'The calls are concurrent. 5,000 at once, and then 20 a second, may be on purpose. If 1,000 calls wait, the next is refused.',
};

export const callerRows: readonly Row[] = [
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
      why: 'Each active election has one timer, and every three seconds one more election starts.',
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
      why: '5,000 writes a second may be on purpose. If there are more, the thread sleeps.',
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
      why: 'A thousand callers may wait for the next campaign. Each resign() rejects all their calls.',
    },
  }),
  flooding('every, each turn', {
    except: { cpuPercent: 10, why: 'A term may have a thousand jobs. Here each runs every second.' },
  }),
  flooding('a new election each turn, never used', {
    warmUpMs: 30_000,
    except: {
      cpuPercent: 6,
      why: 'A thousand new elections a second are allowed, because a busy service may make one for each request.',
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
      why: 'A hundred iterations may be held, each for up to 16 s. Ten iterations a second read and watch.',
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
      why: 'Each job has a new name and a new lease: five messages every 2.35 to 2.5 s.',
    },
  },
  {
    group: 'caller',
    name: 'un-awaited, a new client each 100 ms',
    mayBeMeant: true,
    except: {
      cpuPercent: 5,
      callsPerSecond: 40,
      linesPerMinute: 12,
      heapKiB: 8_192,
      handles: 100,
      why: 'At most 32 clients are active. Each has its own lease and watch: 0.9 messages a second. The election and its clients may write six lines a minute each.',
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
      why: 'Up to 16,384 concurrent names are not delayed. Each active election has one timer.',
    },
  },
  {
    group: 'caller',
    name: 'un-awaited, each turn, while another leads',
    fault: faults.foreignLeader,
    origin: 'environment',
  },
];
