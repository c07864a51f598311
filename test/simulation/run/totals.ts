/** The figures of many runs. */
import { createHash } from 'node:crypto';
import type { Outcome } from './run.ts';

export interface Totals {
  readonly runs: number;
  readonly simulatedMs: number;
  readonly faults: number;
  readonly terms: number;
  readonly cpuMs: number;
  readonly broken: number;
  /** A hash of all messages. */
  readonly hash: string;
}

export const NO_RUNS: Totals = {
  runs: 0,
  simulatedMs: 0,
  faults: 0,
  terms: 0,
  cpuMs: 0,
  broken: 0,
  hash: '',
};

const HOUR_MS = 3_600_000;

export const totalsOf = ({ simulatedMs, world, violations, hash }: Outcome, cpuMs: number): Totals => ({
  runs: 1,
  simulatedMs,
  faults: world.faults.length,
  terms: world.record.terms,
  cpuMs,
  broken: violations.length > 0 ? 1 : 0,
  hash,
});

export const add = (one: Totals, other: Totals): Totals => ({
  runs: one.runs + other.runs,
  simulatedMs: one.simulatedMs + other.simulatedMs,
  faults: one.faults + other.faults,
  terms: one.terms + other.terms,
  cpuMs: one.cpuMs + other.cpuMs,
  broken: one.broken + other.broken,
  hash: createHash('sha256')
    .update(one.hash + other.hash)
    .digest('hex')
    .slice(0, 8),
});

export function summary({ runs, simulatedMs, faults, terms, cpuMs, broken, hash }: Totals): string {
  const speed = (simulatedMs / Math.max(1, cpuMs)).toFixed(0);
  return `${runs} runs, ${(simulatedMs / HOUR_MS).toFixed(2)} simulated hours, ${faults} faults, ${terms} terms, ${speed} simulated seconds a second of CPU, ${broken} broken, messages ${hash}`;
}
