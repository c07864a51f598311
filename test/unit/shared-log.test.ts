import { expect, test } from 'vitest';
import type { ElectionEvent } from '../../src/events.ts';
import { EventLog } from '../../src/logging/event-log.ts';
import { SharedLog } from '../../src/logging/shared-log.ts';
import { untilNextTurn } from '../../src/util/clock.ts';
import { RecordedLog } from '../support/recorded-log.ts';

const lost: ElectionEvent = { type: 'watch.lost', reason: 'the stream ended' };

test('an event of a shared part is logged once, by an election that is active', async () => {
  const shared = new SharedLog();
  const [a, b, c] = ['a', 'b', 'c'].map((name) => {
    const log = new RecordedLog();
    return { log, eventLog: new EventLog(log.logger, `shared log ${name}`) };
  }) as [Owner, Owner, Owner];
  const loggedBy = async (): Promise<string[]> => {
    shared.report(lost);
    await untilNextTurn(); // then the lines are written
    const by = Object.entries({ a, b, c }).filter(([, { log }]) => log.of('watch.lost').length > 0);
    for (const { log } of [a, b, c]) log.lines.length = 0;
    return by.map(([name]) => name);
  };
  expect(await loggedBy()).toEqual([]);
  shared.last = c.eventLog;
  expect(await loggedBy()).toEqual(['c']);
  const endFirst = shared.begin(a.eventLog);
  const endSecond = shared.begin(a.eventLog);
  const endB = shared.begin(b.eventLog);
  expect(await loggedBy()).toEqual(['a']);
  endFirst();
  expect(await loggedBy()).toEqual(['a']);
  endSecond();
  expect(await loggedBy()).toEqual(['b']);
  endB();
  expect(await loggedBy()).toEqual(['b']);
});

interface Owner {
  readonly log: RecordedLog;
  readonly eventLog: EventLog;
}
