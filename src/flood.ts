/**
 * Counts calls within one turn of the event loop. A loop that never lets it turn starves every timer, so a delay
 * cannot slow it: only a throw can end it.
 */
import { RunawayLoopError } from './errors.ts';

/** No honest program calls one election this often without ever awaiting anything. */
export const CALLS_PER_TURN = 1_000;

const calls = new Map<string, number>();

/** @throws {RunawayLoopError} beyond {@link CALLS_PER_TURN} calls for one key in one turn. */
export function countCall(key: string, election: string): void {
  if (calls.size === 0) setImmediate(() => calls.clear());
  const count = (calls.get(key) ?? 0) + 1;
  calls.set(key, count);
  if (count > CALLS_PER_TURN) throw new RunawayLoopError(election, count);
}
