import { expect, test } from 'vitest';
import { QueueReader } from '../../src/campaign/queue-reader.ts';
import { EtcdError } from '../../src/etcd/etcd-error.ts';
import type { EtcdTransport } from '../../src/etcd/transport.ts';
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

test('an event that a read causes is logged by the election that reads', async () => {
  const sharedLog = new SharedLog();
  const log = new RecordedLog();
  sharedLog.last = new EventLog(new RecordedLog().logger, 'shared log closed');
  const transport = {
    unary: () => {
      sharedLog.report(lost);
      return Promise.reject(new EtcdError('unavailable', 'read the queue: no answer', false));
    },
  } as unknown as EtcdTransport;
  const reader = new QueueReader({
    callers: { read: () => Promise.resolve(() => undefined) } as never,
    election: 'job',
    eventLog: new EventLog(log.logger, 'shared log reads'),
    keyPrefix: 'election/job/',
    sharedLog,
    transport,
  });
  await expect(reader.read(new AbortController().signal)).rejects.toThrow('no answer');
  await untilNextTurn();
  expect(log.of('watch.lost')).toHaveLength(1);
});
