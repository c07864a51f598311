import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { expect, test } from 'vitest';
import { LINES_AT_ONCE } from '../../src/core/log-quota.ts';
import type { ElectionEvent } from '../../src/events.ts';
import { EventLog } from '../../src/logging/event-log.ts';
import { RecordedLog } from '../support/recorded-log.ts';

const ended = (election: string): ElectionEvent => ({
  type: 'campaign.ended',
  election,
  reason: 'resigned',
});
const failed = (election: string): ElectionEvent => ({ type: 'candidate.failed', election, reason: 'no' });

/** A job under a name of its own each turn. */
function jobs(log: RecordedLog, count: number, event: (name: string) => ElectionEvent): void {
  for (let turn = 0; turn < count; turn++) {
    const name = `job ${turn} of ${event('').type}`;
    const eventLog = new EventLog(log.logger, name);
    const end = eventLog.begin(() => undefined);
    for (let line = 0; line < 4; line++) eventLog.report(event(name));
    end();
  }
}

test('G5: jobs under names of their own write as one election does, and channels hear all', () => {
  const log = new RecordedLog();
  let heard = 0;
  const hear = (): void => void heard++;
  subscribe('etcd-election:campaign.ended', hear);
  jobs(log, 100, ended);
  unsubscribe('etcd-election:campaign.ended', hear);
  expect(log.lines).toHaveLength(LINES_AT_ONCE);
  expect(heard).toBe(400);
});

test('G6: a fault is told whoever came before, and another log has places of its own', () => {
  const log = new RecordedLog();
  jobs(log, 10, ended);
  jobs(log, 1, failed);
  expect(log.of('candidate.failed')).toHaveLength(4);
  const other = new RecordedLog();
  jobs(other, 1, ended);
  expect(other.lines).toHaveLength(4);
});
