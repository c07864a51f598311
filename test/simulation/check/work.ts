/** S5: the work of a term ends before the same process begins the next one. */
import type { World } from '../world/world.ts';
import type { Violation } from './violation.ts';

export function workBesideWork({ record, kills }: World): readonly Violation[] {
  const found: Violation[] = [];
  const working = new Map<string, { readonly token: string; readonly sinceMs: number }>();
  for (const { process, atMs, fact } of record.told) {
    if (fact.type === 'still-working' || fact.type === 'stopped-late') working.delete(process);
    if (fact.type !== 'elected') continue;
    const before = working.get(process);
    const wasKilled = kills.some(
      (kill) => kill.process === process && kill.atMs >= (before?.sinceMs ?? 0) && kill.atMs <= atMs,
    );
    if (before !== undefined && !wasKilled)
      found.push({
        promise: 'S5',
        what: `${process} works in term ${fact.token} beside the work of ${before.token}`,
      });
    working.set(process, { token: fact.token, sinceMs: atMs });
  }
  return found;
}
