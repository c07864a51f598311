import { describe, expect, test } from 'vitest';
import type { CallLimiter } from '../../src/loop-guard/call-limits.ts';
import { LiveTerm, type TermLife, type TermTools } from '../../src/term/live-term.ts';

/** A term whose lease is believed, and what it tells its campaign. */
function termOf(): { term: LiveTerm; told: string[] } {
  const told: string[] = [];
  const tools = { remainingMs: () => 1_000, ended: () => undefined } as Partial<TermTools> as TermTools;
  const life: Partial<TermLife> = {
    callers: { termOver: () => undefined } as CallLimiter,
    evicted: () => {
      told.push('evicted');
      term.end('evicted'); // as the campaign does
    },
    askedAfterEnd: () => void told.push('asked'),
  };
  const candidacy = { key: 'election/e/1', leaseId: '1', createRevision: 7n };
  const term = new LiveTerm('e', candidacy, 'alice', tools, life as TermLife);
  return { term, told };
}

describe('S4: a write whose fence failed', () => {
  test('ends the term at once, without waiting for a watch', () => {
    const { term, told } = termOf();
    const { signal } = term;
    expect(term.lostInEtcd()).toMatchObject({ reason: 'evicted', fencingToken: 7n });
    expect(told).toEqual(['evicted']);
    expect([signal.aborted, term.isOver]).toEqual([true, true]);
  });

  test('says why the term ended, if it had ended before', () => {
    const { term, told } = termOf();
    term.end('stepped-down');
    expect(term.lostInEtcd()).toMatchObject({ reason: 'stepped-down' });
    expect(told).toEqual([]);
  });
});

test('a look at the signal of a term that is over counts as asking it', () => {
  const { term, told } = termOf();
  expect(term.signal.aborted).toBe(false);
  term.end('stepped-down');
  expect(term.signal.aborted).toBe(true);
  expect(told).toEqual(['asked']);
});
