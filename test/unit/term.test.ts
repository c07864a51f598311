import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { lines } from '../../src/logging/event-lines.ts';
import type { CallLimiter } from '../../src/loop-guard/call-limits.ts';
import { LeadershipLostError } from '../../src/errors.ts';
import { LiveTerm, type TermLife, type TermTools } from '../../src/term/live-term.ts';
import { termSignal } from '../../src/term/term-signal.ts';
import { TermWork } from '../../src/term/term-work.ts';
import { UncommittedTxns } from '../../src/term/uncommitted-txns.ts';
import { CallbackFrames } from '../../src/util/callback-frames.ts';

/** A term with a valid lease, and its messages to the campaign. */
function termOf() {
  const told: string[] = [];
  const tools = {
    leftMs: 1_000,
    validUntilMs: Infinity,
    remainingMs: () => tools.leftMs,
    ended: () => undefined,
    closed: () => undefined,
    look: (): void => undefined,
  };
  const life: Partial<TermLife> = {
    evicted: () => {
      told.push('evicted');
      term.end('evicted'); // as the campaign does
    },
    askedAfterEnd: () => void told.push('asked'),
    callers: {
      countLook: () => tools.look(),
      termOver: () => undefined,
    } as Partial<CallLimiter> as CallLimiter,
  };
  const candidacy = { key: 'election/e/1', leaseId: '1', createRevision: 7n };
  const term = new LiveTerm(
    'e',
    candidacy,
    'alice',
    tools as Partial<TermTools> as TermTools,
    life as TermLife,
  );
  return { term, told, tools };
}

describe('S4: a write whose fence failed', () => {
  test('ends the term at once, without waiting for a watch', () => {
    const { term, told } = termOf();
    const { signal } = term;
    expect(term.lostInEtcd()).toMatchObject({ reason: 'evicted', fencingToken: 7n });
    expect(told).toEqual(['evicted']);
    expect([signal.aborted, term.isOver]).toEqual([true, true]);
  });

  test('reports why the term ended, if it ended before', () => {
    const { term, told } = termOf();
    term.end('stepped-down');
    expect(term.lostInEtcd()).toMatchObject({ reason: 'stepped-down' });
    expect(told).toEqual([]);
  });
});

test('a term whose end is noticed late has lasted until its deadline', () => {
  const { term, tools } = termOf();
  tools.validUntilMs = term.startedAtMs - 1_000;
  term.end('deadline-passed');
  expect(term.endedAtMs).toBe(tools.validUntilMs);
});

test('S1: in the drain the key exists while the lease is valid and it is not released', () => {
  const { term, tools } = termOf();
  term.end('closed');
  expect([term.isCurrent(), term.holdsKey()]).toEqual([false, true]);
  tools.leftMs = 0;
  expect(term.holdsKey()).toBe(false);
  tools.leftMs = 1_000;
  term.closeWrites();
  expect(term.holdsKey()).toBe(false);
  for (const lost of ['evicted', 'lease-lost', 'deadline-passed', 'refused'] as const) {
    const other = termOf().term;
    other.end(lost);
    expect(other.holdsKey()).toBe(false);
  }
});

test('a read of the signal of an ended term counts as a check of the term', () => {
  const { term, told } = termOf();
  expect(term.signal.aborted).toBe(false);
  term.end('stepped-down');
  expect(term.signal.aborted).toBe(true);
  expect(told).toEqual(['asked']);
});

test('every() ends without an error at the deadline, also in a turn in which isCurrent() throws', async () => {
  const { term, tools } = termOf();
  const failed: unknown[] = [];
  const work = new TermWork(term, new CallbackFrames('e', 'e'), {
    drainTimeoutMs: 1_000,
    isPair: () => false,
    onError: (callback, error) => void failed.push([callback, error]),
    onFailed: () => void failed.push('failed'),
    onIdle: () => undefined,
  });
  tools.look = () => {
    throw new Error('RunawayLoopError');
  };
  let runs = 0;
  work.every(1, () => {
    runs++;
    tools.leftMs = 0; // the deadline passes during the run
  });
  await work.settled();
  expect([runs, failed]).toEqual([1, []]);
});

test('the promise of an `onabort` listener of the signal is awaited, like that of every other listener', () => {
  const results: unknown[] = [];
  const { signal, abort } = ((controller) => ({
    signal: controller.signal,
    abort: () => controller.abort(),
  }))(termSignal((listener) => void results.push(listener())));
  signal.onabort = () => 'replaced';
  const last = function (this: unknown, event: Event) {
    return [this, event.type];
  };
  signal.onabort = last;
  expect(signal.onabort).toBe(last);
  abort();
  expect(results).toEqual([[signal, 'abort']]);
  const removed = termSignal((listener) => void results.push(listener()));
  removed.signal.onabort = last;
  removed.signal.onabort = null;
  removed.abort();
  expect(removed.signal.onabort).toBeNull();
  expect(results).toHaveLength(1);
});

test('the end of a term ends the timer that looks for transactions without commit()', () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const told: string[] = [];
  const txns = new UncommittedTxns(() => told.push('uncommitted'));
  txns.opened({});
  txns.ended();
  txns.opened({});
  expect(vi.getTimerCount()).toBe(0);
  vi.advanceTimersByTime(2_000);
  expect(told).toEqual([]);
  const others = new UncommittedTxns(() => told.push('uncommitted'));
  others.opened({});
  vi.advanceTimersByTime(2_000);
  expect(told).toEqual(['uncommitted']);
});

test('a term that is sent to a worker thread is refused, and the error says what to send', () => {
  expect(() => structuredClone({ term: termOf().term })).toThrow('send term.fencingToken');
});

describe('a method that is called without its term', () => {
  const names = [
    'isCurrent',
    'assertCurrent',
    'remainingMs',
    'put',
    'delete',
    'txn',
    'proclaim',
    'settle',
    'run',
  ] as const;
  for (const name of [...names, 'every', 'onEnd', 'stepDown', 'resign', 'heartbeat'] as const)
    test(`${name}: the log says how to call it`, () => {
      const method = termOf().term[name] as () => unknown;
      const error = (() => {
        try {
          return method();
        } catch (thrown) {
          return thrown;
        }
      })();
      const [, text] = lines['callback.failed'];
      expect(text({ type: 'callback.failed', election: 'e', callback: 'onLeader', error })).toContain(
        'const { put } = term',
      );
    });
});

test.for([
  ['e', []],
  ['other', ['run']],
] as const)(
  'work that fails because a term of "%s" with the same token is over reports %j',
  async ([election, reported]) => {
    const { term } = termOf();
    const failed: string[] = [];
    const work = new TermWork(term, new CallbackFrames('e', 'e'), {
      drainTimeoutMs: 1_000,
      isPair: () => false,
      onError: (callback) => failed.push(callback),
      onFailed: () => undefined,
      onIdle: () => undefined,
    });
    const lost = new LeadershipLostError({ election, fencingToken: term.fencingToken, reason: 'evicted' });
    await work.run(() => Promise.reject(lost)).catch(() => undefined);
    expect(failed).toEqual(reported);
  },
);
