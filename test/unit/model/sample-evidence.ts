/**
 * A good history made by hand, and its parts. A checker that cannot fail proves nothing, so the tests change one part at
 * a time and expect a finding.
 */
import { unsafe } from '../../faults/lab/checker.ts';
import type { Evidence, FaultRecord } from '../../faults/lab/evidence.ts';
import { type Acting, type Append } from '../../faults/lab/history.ts';

export const term = (process: string, token: bigint, firstMs: number, lastMs: number): Acting => ({
  process,
  token,
  electedMs: firstMs,
  firstMs,
  lastMs,
  stamps: 2,
  longestPauseMs: 4,
  endedBecause: 'resigned',
  workedUntilMs: undefined,
});

export const append = (
  counter: number,
  outcome: Append['outcome'],
  token = 1n,
  [sentMs, answeredMs] = [0, 1],
): Append => ({
  process: 'alice',
  token,
  counter,
  to: 'etcd',
  outcome,
  sentMs,
  answeredMs,
});

export const entry = (counter: number, order: bigint, token = 1n, times = 1) => ({
  process: 'alice',
  token,
  counter,
  order,
  times,
});

export const fault = (
  kind: string,
  fromMs: number,
  toMs: number,
  more: Partial<FaultRecord> = {},
): FaultRecord => ({
  kind,
  what: kind,
  touchesEtcd: false,
  isOutage: false,
  fromMs,
  toMs,
  ...more,
});

export const good: Evidence = {
  acting: [term('alice', 1n, 0, 1000), term('bob', 2n, 1500, 3000)],
  appends: [append(1, 'acknowledged'), append(2, 'unknown'), append(3, 'refused'), append(4, 'acknowledged')],
  logs: { etcd: [entry(1, 10n), entry(4, 12n)], http: [] },
  timesWritten: 2,
  elseBranches: [],
  cuts: [],
  kills: [],
  faults: [],
  endMs: 3000,
  grantedTtlMs: 2000,
  hasTokens: true,
};

export const findings = (change: Partial<Evidence>): string[] =>
  unsafe({ ...good, ...change }).map(({ promise, what }) => `${promise}: ${what}`);
