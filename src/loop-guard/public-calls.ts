/**
 * Counts the public calls of an election and its terms. With these counts, sync-flood.ts ends or slows a loop that
 * awaits none of its calls. Calls that are awaited are delayed by {@link CallLimiter}.
 */
import { keyOf, type ElectionScope } from './guard-key.ts';
import { CALLS_PER_TURN, countSyncCall, Flood, WRITES_PER_TURN } from './sync-flood.ts';
import { clock } from '../util/clock.ts';

/**
 * - `campaign`: `campaign()` and `lead()`.
 * - `end`: `resign()`, `stepDown()` and `close()`.
 * - `read`: `leader()` and `candidates()`.
 * - `observe`: `observe()`, and a refused `next()` of its iterations.
 * - `register`: what the work registers with its term.
 * - `fail`: calls of a term that fail without asking etcd, and `every()` and `onEnd()` after the end of the term.
 * - `write`: calls of a term that ask etcd.
 * - `build`: transactions that are built, whether they are committed or not.
 */
export type CallKind = 'campaign' | 'end' | 'read' | 'observe' | 'register' | 'fail' | 'write' | 'build';

/**
 * Every kind of call has its own count, so a flood of `campaign()` calls does not block `close()`. `perTurn` limits the
 * calls of one election in one event loop turn. `flood` limits the calls of the whole process. Beyond that limit, the
 * thread sleeps. The limit is higher than a busy service needs with one call per request.
 */
const LIMITS: Record<CallKind, { readonly perTurn: number; readonly flood: Flood }> = {
  campaign: { perTurn: CALLS_PER_TURN, flood: new Flood(20_000, 5_000) },
  end: { perTurn: CALLS_PER_TURN, flood: new Flood(20_000, 500) },
  read: { perTurn: CALLS_PER_TURN, flood: new Flood(20_000, 5_000) },
  observe: { perTurn: CALLS_PER_TURN, flood: new Flood(10_000, 500) },
  register: { perTurn: WRITES_PER_TURN, flood: new Flood(20_000, 5_000) },
  fail: { perTurn: CALLS_PER_TURN, flood: new Flood(20_000, 500) },
  write: { perTurn: WRITES_PER_TURN, flood: new Flood(20_000, 5_000) },
  build: { perTurn: WRITES_PER_TURN, flood: new Flood(20_000, 5_000) },
};

/** @throws {RunawayLoopError} if a loop never lets the event loop turn. */
export function countPublicCall(scope: ElectionScope, kind: CallKind): void {
  const { perTurn, flood } = LIMITS[kind];
  countSyncCall(keyOf(scope, kind), scope.election, perTurn);
  flood.count(clock.now());
}
