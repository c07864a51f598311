import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { expect, onTestFinished, test, vi } from 'vitest';
import { LINES_AT_ONCE, OF_ADVICE, OF_ERRORS, OF_TERMS } from '../../src/core/log-quota.ts';
import type { ElectionEvent } from '../../src/events.ts';
import { EventLog } from '../../src/logging/event-log.ts';
import { clock } from '../../src/util/clock.ts';
import { RecordedLog } from '../support/recorded-log.ts';

const ended = (election: string): ElectionEvent => ({
  type: 'campaign.ended',
  election,
  reason: 'resigned',
});
const failed = (election: string): ElectionEvent => ({
  type: 'candidate.failed',
  election,
  reason: 'no',
  isRepeated: false,
});

/** A job with a new name each turn. */
function jobs(log: RecordedLog, count: number, event: (name: string) => ElectionEvent): void {
  for (let turn = 0; turn < count; turn++) {
    const name = `job ${turn} of ${event('').type}`;
    const eventLog = new EventLog(log.logger, name);
    const end = eventLog.begin(() => undefined);
    for (let line = 0; line < 4; line++) eventLog.report(event(name));
    end();
  }
}

test('G5: jobs with their own names write as much as one election; channels get everything', () => {
  const log = new RecordedLog();
  let heard = 0;
  const hear = (): void => void heard++;
  subscribe('etcd-election:campaign.ended', hear);
  jobs(log, 100, ended);
  unsubscribe('etcd-election:campaign.ended', hear);
  expect(log.lines).toHaveLength(LINES_AT_ONCE);
  expect(heard).toBe(400);
});

test('G6: a fault is always logged, and another log has its own share', () => {
  const log = new RecordedLog();
  jobs(log, 10, ended);
  jobs(log, 1, failed);
  expect(log.of('candidate.failed')).toHaveLength(4);
  const other = new RecordedLog();
  jobs(other, 1, ended);
  expect(other.lines).toHaveLength(4);
});

test('advice that is given once is logged although other lines have used up the quota, but not in a flood', () => {
  const log = new RecordedLog();
  const eventLog = new EventLog(log.logger, 'advised');
  for (let line = 0; line < 2 * LINES_AT_ONCE; line++) eventLog.report(failed('advised'));
  for (let line = 0; line < 100; line++)
    eventLog.report({ type: 'term.stale', election: 'advised', fencingToken: '1', currentToken: '2' });
  expect(log.of('term.stale')).toHaveLength(OF_ADVICE.atOnce);
  expect(log.lines).toHaveLength(LINES_AT_ONCE + OF_ADVICE.atOnce);
});

test('G5: the lines of a term are logged although other lines have used up the quota, but not in a flood', () => {
  const log = new RecordedLog();
  const eventLog = new EventLog(log.logger, 'noisy');
  const end = eventLog.begin(() => undefined);
  for (let line = 0; line < 2 * LINES_AT_ONCE; line++) eventLog.report(failed('noisy'));
  for (let term = 0; term < 100; term++)
    eventLog.report({
      type: 'term.ended',
      election: 'noisy',
      fencingToken: `${term}`,
      reason: 'evicted',
      ledMs: 1,
    });
  eventLog.report(failed('noisy')); // a fault is written at once, and the lines before it too
  end();
  expect(log.of('term.ended').map(({ fencingToken }) => fencingToken)).toEqual(
    Array.from({ length: OF_TERMS.atOnce }, (_, term) => `${term}`),
  );
});

const tripped = (origin: 'caller' | 'environment'): ElectionEvent => ({
  type: 'guard.tripped',
  election: 'job',
  rounds: 6,
  holdMs: 1_000,
  origin,
  calledFrom: undefined,
});
const linesAfter = (origin: 'caller' | 'environment'): number => {
  const log = new RecordedLog();
  const eventLog = new EventLog(log.logger, `tripped by ${origin}`);
  eventLog.begin(() => undefined);
  eventLog.report(tripped(origin));
  for (let line = 0; line < 2 * LINES_AT_ONCE; line++) eventLog.report(failed('job'));
  return log.of('candidate.failed').length;
};

test('G5, G6: a tripped guard ends the burst of lines of a loop, but not the lines about an outage', () => {
  expect(linesAfter('caller')).toBe(0);
  expect(linesAfter('environment')).toBe(LINES_AT_ONCE);
});

test('G6: an error is logged although other lines have used up the quota, but not in a flood', () => {
  const log = new RecordedLog();
  const eventLog = new EventLog(log.logger, 'in trouble');
  eventLog.begin(() => undefined);
  for (let line = 0; line < 2 * LINES_AT_ONCE; line++) eventLog.report(failed('in trouble'));
  for (let line = 0; line < 100; line++)
    eventLog.report({ type: 'candidate.refused', election: 'in trouble', reason: 'no', forMs: 1 });
  expect(log.of('candidate.refused')).toHaveLength(OF_ERRORS.atOnce);
});

test('G5: a loop that makes terms writes six lines a minute, as other loops do', () => {
  let nowMs = clock.now();
  vi.spyOn(clock, 'now').mockImplementation(() => nowMs);
  onTestFinished(() => void vi.restoreAllMocks());
  const log = new RecordedLog();
  const eventLog = new EventLog(log.logger, 'in a loop');
  const minutes = 60;
  eventLog.report(tripped('caller'));
  for (const endMs = nowMs + minutes * 60_000; nowMs < endMs; nowMs += 10_000) {
    const end = eventLog.begin(() => undefined);
    eventLog.report({
      type: 'term.ended',
      election: 'in a loop',
      fencingToken: '1',
      reason: 'resigned',
      ledMs: 1,
    });
    eventLog.report(failed('in a loop'));
    eventLog.report(ended('in a loop'));
    end();
  }
  expect(log.lines.length).toBeLessThanOrEqual(1 + OF_TERMS.atOnce + 6 * minutes);
  expect(log.of('term.ended').length).toBeGreaterThanOrEqual(3 * minutes);
});
