/**
 * L1: without faults the leaders follow each other, and every key has a candidate, because a forgotten one would
 * block them. L4: at the end every candidate shows the leader, and a position that is not too small.
 */
import type { World } from '../world/world.ts';
import type { Violation } from './violation.ts';

export function queueMisjudged({ queueAtEnd, record, keyPrefix, stuck }: World): readonly Violation[] {
  if (stuck.length > 0) return stuck.map((what) => ({ promise: 'L1', what }));
  if (queueAtEnd === undefined) return [];
  const forgotten = forgottenKeys(queueAtEnd, record.seenAtEnd);
  const misjudged = record.seenAtEnd.flatMap(({ process, leader, position, isEstimate }): Violation[] => {
    const place = queueAtEnd.findIndex((candidate) => candidate.process === process) + 1;
    if (place === 0) return [{ promise: 'S4', what: `${process} waits, and is not in the queue` }];
    const found: Violation[] = [];
    if (leader !== queueAtEnd[0]!.token)
      found.push({
        promise: 'L4',
        what: `${process} shows ${leader} as the leader, not ${queueAtEnd[0]!.token}`,
      });
    if (isEstimate ? place > position || place < 3 : place !== position)
      found.push({
        promise: 'L4',
        what: `${process} is at place ${place} of ${keyPrefix}, and shows ${position}${isEstimate ? ' at most' : ''}`,
      });
    return found;
  });
  return [...forgotten, ...misjudged];
}

/** A process has at most one key in the queue, and only while it waits or leads. */
function forgottenKeys(
  queue: readonly { readonly process: string; readonly token: string }[],
  seen: readonly { readonly process: string }[],
): readonly Violation[] {
  const standing = new Set(seen.map(({ process }) => process));
  return queue.flatMap(({ process, token }): Violation[] =>
    standing.delete(process)
      ? []
      : [{ promise: 'L1', what: `${process} has left its key (token ${token}) behind in the queue` }],
  );
}
