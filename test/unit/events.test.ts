import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { setImmediate as nextTurn } from 'node:timers/promises';
import pino from 'pino';
import {
  channelNames,
  RefusedError,
  type ElectionEvent,
  type ElectionEventType,
  type Logger,
} from 'etcd-election';
import { describe, expect, test } from 'vitest';
import { LINES_AT_ONCE } from '../../src/core/log-quota.ts';
import type { EventOf } from '../../src/events.ts';
import { publish } from '../../src/logging/event-channels.ts';
import { writeLine } from '../../src/logging/event-lines.ts';
import { EventLog } from '../../src/logging/event-log.ts';
import { RecordedLog } from '../support/recorded-log.ts';

const token = (2n ** 60n + 1n).toString();

/** One of each; the compiler asks for every type. */
const samples: { readonly [T in ElectionEventType]: { event: EventOf<T>; level: keyof Logger } } = {
  'options.unusual': {
    event: { type: 'options.unusual', election: 'e', reason: 'ttlSeconds is 600' },
    level: 'warn',
  },
  'session.opened': {
    event: {
      type: 'session.opened',
      leaseId: '9223372036854775807',
      askedTtlSeconds: 1,
      grantedTtlSeconds: 2,
    },
    level: 'debug',
  },
  'session.renewed': {
    event: { type: 'session.renewed', leaseId: '7', roundTripMs: 1.23, headroomMs: 6_000 },
    level: 'trace',
  },
  'session.faltered': {
    event: { type: 'session.faltered', leaseId: '7', reason: 'no answer', leftMs: 4_000 },
    level: 'warn',
  },
  'watch.unconfirmed': { event: { type: 'watch.unconfirmed', silentMs: 10_000 }, level: 'warn' },
  'etcd.proxied': {
    event: { type: 'etcd.proxied', ttlSeconds: 2, isSupported: false },
    level: 'warn',
  },
  'session.recovered': { event: { type: 'session.recovered', leaseId: '7', leftMs: 10 }, level: 'info' },
  'session.lost': {
    event: { type: 'session.lost', leaseId: '7', reason: 'deadline-passed' },
    level: 'warn',
  },
  'observers.many': { event: { type: 'observers.many', election: 'e', count: 25 }, level: 'warn' },
  'session.held': { event: { type: 'session.held', holdMs: 2_100 }, level: 'warn' },
  'session.unavailable': {
    event: { type: 'session.unavailable', reason: 'refused', endpoints: ['http://127.0.0.1:2379'], forMs: 0 },
    level: 'warn',
  },
  'session.available': { event: { type: 'session.available', afterMs: 1_000 }, level: 'info' },
  'host.away': { event: { type: 'host.away', host: '10.0.0.1:2379', reason: 'no answer' }, level: 'warn' },
  'host.back': { event: { type: 'host.back', host: '10.0.0.1:2379', afterMs: 900 }, level: 'info' },
  'host.foreign': {
    event: { type: 'host.foreign', host: '10.0.0.1:2379', clusterId: '17', ourClusterId: '16' },
    level: 'error',
  },
  'cluster.changed': {
    event: { type: 'cluster.changed', fromClusterId: '16', toClusterId: '17' },
    level: 'error',
  },
  'session.closed': { event: { type: 'session.closed', leaseId: '7' }, level: 'debug' },
  'last-will.lost': { event: { type: 'last-will.lost', reason: 'no helper' }, level: 'warn' },
  'etcd.history-lost': {
    event: { type: 'etcd.history-lost', fromRevision: '1000', toRevision: '5' },
    level: 'warn',
  },
  'watch.lost': { event: { type: 'watch.lost', reason: 'compacted' }, level: 'debug' },
  'watch.healed': { event: { type: 'watch.healed', afterMs: 100 }, level: 'debug' },
  'candidate.entered': {
    event: { type: 'candidate.entered', election: 'e', key: 'k', fencingToken: token, position: 2 },
    level: 'info',
  },
  'candidate.failed': { event: { type: 'candidate.failed', election: 'e', reason: 'no' }, level: 'warn' },
  'candidate.refused': {
    event: { type: 'candidate.refused', election: 'e', reason: 'permission denied', forMs: 60_000 },
    level: 'error',
  },
  'candidate.lost': {
    event: { type: 'candidate.lost', election: 'e', fencingToken: token, reason: 'evicted' },
    level: 'warn',
  },
  'leader.changed': {
    event: { type: 'leader.changed', election: 'e', fencingToken: undefined, value: undefined },
    level: 'debug',
  },
  'term.started': {
    event: {
      type: 'term.started',
      election: 'e',
      fencingToken: token,
      value: 'v',
      leaseId: '7',
      clusterId: '8',
    },
    level: 'info',
  },
  'term.ended': {
    event: { type: 'term.ended', election: 'e', fencingToken: token, reason: 'resigned', ledMs: 1.5 },
    level: 'info',
  },
  'term.released': {
    event: { type: 'term.released', election: 'e', fencingToken: token, afterMs: 12.5 },
    level: 'debug',
  },
  'drain.overdue': {
    event: {
      type: 'drain.overdue',
      election: 'e',
      fencingToken: token,
      afterMs: 9_000,
      callbacks: ['onLeader', 'every'],
    },
    level: 'error',
  },
  'campaign.refused': {
    event: { type: 'campaign.refused', election: 'e', error: new RefusedError('e', 'refused') },
    level: 'error',
  },
  'candidate.waiting': {
    event: {
      type: 'candidate.waiting',
      election: 'e',
      position: 2,
      leader: 'x',
      waitedMs: 5_000,
      awaitedBy: undefined,
    },
    level: 'info',
  },
  'usage.unusual': {
    event: { type: 'usage.unusual', election: 'e', usage: 'exit', reason: 'the process exits' },
    level: 'warn',
  },
  'term.stale': {
    event: { type: 'term.stale', election: 'e', fencingToken: token, currentToken: token },
    level: 'warn',
  },
  'process.stalled': {
    event: { type: 'process.stalled', election: 'e', fencingToken: token, stalledMs: 3_000, cpuMs: 2_900 },
    level: 'error',
  },
  'follower.overdue': {
    event: { type: 'follower.overdue', election: 'e', afterMs: 9_000 },
    level: 'error',
  },
  'work.ended': {
    event: { type: 'work.ended', election: 'e', fencingToken: token, isStaying: true },
    level: 'info',
  },
  'callback.failed': {
    event: {
      type: 'callback.failed',
      election: 'e',
      callback: 'onLeader',
      error: new Error('line 1\nline 2'),
    },
    level: 'error',
  },
  'write.failed': {
    event: {
      type: 'write.failed',
      election: 'e',
      fencingToken: token,
      failures: 1,
      unknownOutcomes: 0,
      reason: 'no',
    },
    level: 'warn',
  },
  'txn.uncommitted': {
    event: { type: 'txn.uncommitted', election: 'e', fencingToken: token },
    level: 'warn',
  },
  'announce.failed': {
    event: { type: 'announce.failed', election: 'e', reason: 'no' },
    level: 'warn',
  },
  'release.failed': {
    event: { type: 'release.failed', election: 'e', key: 'k', reason: 'no' },
    level: 'warn',
  },
  'campaign.ended': {
    event: {
      type: 'campaign.ended',
      election: 'e',
      reason: 'refused',
      error: new RefusedError('e', 'denied'),
    },
    level: 'error',
  },
  'guard.tripped': {
    event: {
      type: 'guard.tripped',
      election: 'e',
      rounds: 6,
      holdMs: 251.7,
      origin: 'caller',
      calledFrom: 'f (a.ts:1:1)',
    },
    level: 'warn',
  },
  'guard.recovered': { event: { type: 'guard.recovered', election: 'e', rounds: 60 }, level: 'info' },
};

const all = Object.values(samples) as readonly { event: ElectionEvent; level: keyof Logger }[];

describe('each event', () => {
  test.for(all)('$event.type: one line at $level, which is JSON', ({ event, level }) => {
    const written: string[] = [];
    const logger = pino({ level: 'trace' }, { write: (line: string) => void written.push(line) });
    writeLine(event, logger, 0);

    expect(written).toHaveLength(1);
    expect(written[0]).toMatch(/^[^\n]+\n$/);
    const line = JSON.parse(written[0]!) as Record<string, unknown>;
    expect(line['level']).toBe(pino.levels.values[level]);
    expect(line['event']).toBe(event.type);
    expect(line['msg']).toMatch(/^\S.{8,}/s);
    expect(line['msg']).not.toMatch(/undefined|NaN|\[object/);
  });

  test.for(all)('$event.type: one message on its channel', ({ event }) => {
    const heard: unknown[] = [];
    const hear = (message: unknown): void => void heard.push(message);
    const name = `etcd-election:${event.type}`;
    subscribe(name, hear);
    publish(event);
    unsubscribe(name, hear);
    expect(heard).toEqual([event]);
    expect(channelNames).toContain(name);
  });

  test('S1: tokens and lease IDs keep all their digits', () => {
    const log = new RecordedLog();
    writeLine(samples['term.started'].event, log.logger, 0);
    writeLine(samples['session.opened'].event, log.logger, 0);
    expect(log.lines[0]).toMatchObject({ fencingToken: '1152921504606846977' });
    expect(log.lines[1]).toMatchObject({ leaseId: '9223372036854775807' });
  });

  test('an error comes as pino writes errors: with its stack, under err', () => {
    const log = new RecordedLog();
    writeLine(samples['callback.failed'].event, log.logger, 0);
    expect(log.lines[0]).toMatchObject({
      err: { message: 'line 1\nline 2', stack: expect.any(String) as string },
    });
    expect(log.lines[0]).not.toHaveProperty('error');
  });
});

describe('an error in pino', () => {
  const written = (error: unknown): { err: { type: string; message: string; stack: string } } => {
    const lines: string[] = [];
    const logger = pino({}, { write: (line: string) => void lines.push(line) });
    writeLine({ type: 'campaign.ended', election: 'e', reason: 'refused', error }, logger, 0);
    return JSON.parse(lines[0]!) as ReturnType<typeof written>;
  };

  test('of ours says its cause once', () => {
    const cause = new Error('13 INTERNAL: permission denied', { cause: new Error('permission denied') });
    const error = new RefusedError('e', 'etcd refuses election "e": permission denied', { cause });
    const { err } = written(error);
    expect(err.message).toBe(
      'etcd refuses election "e": permission denied; see docs/errors.md#election_refused',
    );
    expect(err).toMatchObject({ type: 'RefusedError', code: 'ELECTION_REFUSED' });
    expect(err.stack).toContain('events.test.ts');
    expect(error.cause).toBe(cause);
  });

  test('of the user is shown with its causes', () => {
    const { err } = written(new Error('cannot save', { cause: new Error('disk full') }));
    expect(err.message).toBe('cannot save: disk full');
  });
});

test('an error that came through Promise.all says that its siblings may still run', async () => {
  const later = async (): Promise<never> => {
    await Promise.resolve();
    throw new Error('db gone');
  };
  const text = async (work: () => Promise<unknown>): Promise<unknown> => {
    const error: unknown = await work().catch((thrown: unknown) => thrown);
    const log = new RecordedLog();
    writeLine({ type: 'callback.failed', election: 'e', callback: 'onLeader', error }, log.logger, 0);
    return log.lines[0]!['msg'];
  };
  expect(await text(async () => await Promise.all([later(), Promise.resolve()]))).toContain(
    'register each by term.run()',
  );
  expect(await text(later)).not.toContain('Promise.all');
});

describe('telling hurts nobody', () => {
  test('a logger that throws does nothing', () => {
    const fail = (): never => {
      throw new Error('disk full');
    };
    const broken: Logger = { trace: fail, debug: fail, info: fail, warn: fail, error: fail };
    for (const { event } of all) expect(() => writeLine(event, broken, 0)).not.toThrow();
  });

  test('a work that throws something that no string can be made of does nothing either', () => {
    const odd: unknown[] = [
      Object.create(null),
      Symbol('s'),
      undefined,
      null,
      {
        toString: () => {
          throw new Error('no');
        },
      },
    ];
    for (const error of odd)
      expect(() =>
        writeLine(
          { type: 'callback.failed', election: 'e', callback: 'onLeader', error },
          new RecordedLog().logger,
          0,
        ),
      ).not.toThrow();
  });

  test('nobody listens: nothing happens', () => {
    const silent = pino({ level: 'silent' });
    for (const { event } of all) expect(() => writeLine(event, silent, 0)).not.toThrow();
  });
});

describe('the reporter', () => {
  const { event } = samples['term.started'];

  test('G5: stops writing after a burst, and counts what it left out; channels hear all', async () => {
    const log = new RecordedLog();
    const eventLog = new EventLog(log.logger, 'budget of one');
    let heard = 0;
    const hear = (): void => void heard++;
    subscribe('etcd-election:term.started', hear);
    for (let i = 0; i < 1_000; i++) eventLog.report(event);
    unsubscribe('etcd-election:term.started', hear);
    await nextTurn();
    expect(log.lines).toHaveLength(LINES_AT_ONCE);
    expect(heard).toBe(1_000);
  });

  test('G5, G3: a new reporter for the same election has the same budget', async () => {
    const log = new RecordedLog();
    for (let i = 0; i < 1_000; i++) new EventLog(log.logger, 'budget of many').report(event);
    await nextTurn();
    expect(log.lines).toHaveLength(LINES_AT_ONCE);
  });

  test('traces, which a logger leaves out at its usual level, spend nothing', async () => {
    const log = new RecordedLog('info');
    const eventLog = new EventLog(log.logger, 'budget of traces');
    for (let i = 0; i < 1_000; i++) eventLog.report(samples['session.renewed'].event);
    eventLog.report(event);
    await nextTurn();
    expect(log.lines).toHaveLength(1);
    expect(log.lines[0]).not.toHaveProperty('suppressedLines');
  });
});

describe('when lines are written', () => {
  const { event: news } = samples['term.ended'];
  const { event: fault } = samples['session.lost'];

  test('subscribers hear at once, and the line follows at the end of the turn: a release does not wait for the log', async () => {
    const log = new RecordedLog();
    let heard = 0;
    const hear = (): void => void heard++;
    subscribe('etcd-election:term.ended', hear);
    new EventLog(log.logger, 'news').report(news);
    unsubscribe('etcd-election:term.ended', hear);
    await Promise.resolve();
    expect({ heard, lines: log.lines.length }).toEqual({ heard: 1, lines: 0 });
    await nextTurn();
    expect(log.of('term.ended')).toHaveLength(1);
  });

  test('a fault is written at once, after all that waits', () => {
    const log = new RecordedLog();
    const eventLog = new EventLog(log.logger, 'news and a fault');
    eventLog.report(news);
    eventLog.report(fault);
    expect(log.lines.map((line) => line.event)).toEqual(['term.ended', 'session.lost']);
  });

  test('the last line of a campaign is written at once: its logger may be closed after that', () => {
    const log = new RecordedLog();
    const eventLog = new EventLog(log.logger, 'the last line');
    eventLog.report(news);
    eventLog.report(samples['campaign.ended'].event);
    expect(log.lines.map((line) => line.event)).toEqual(['term.ended', 'campaign.ended']);
  });

  test('process.exit() leaves out no line of a campaign, and no listener stays after it', () => {
    const log = new RecordedLog();
    const eventLog = new EventLog(log.logger, 'exit');
    const before = process.listeners('exit');
    const end = eventLog.begin(() => undefined);
    eventLog.report(news);
    const added = process.listeners('exit').filter((listener) => !before.includes(listener));
    expect(added).toHaveLength(1);
    added[0]!(0);
    expect(log.of('term.ended')).toHaveLength(1);
    end();
    expect(process.listeners('exit')).toEqual(before);
  });
});

describe('an error whose properties throw', () => {
  const broken = {
    'no prototype': (): unknown => Object.create(null) as unknown,
    'toString() throws': () => ({
      toString() {
        throw new Error('no text');
      },
    }),
    'its cause throws': () =>
      Object.defineProperty(new Error('broken'), 'cause', {
        get() {
          throw new Error('no cause');
        },
      }),
    'a revoked proxy': (): unknown => {
      const { proxy, revoke } = Proxy.revocable({}, {});
      revoke();
      return proxy as unknown;
    },
  };
  test.for(Object.entries(broken))('%s: the line is written', ([, make]) => {
    const log = new RecordedLog();
    const event = { type: 'callback.failed', election: 'e', callback: 'onLeader', error: make() } as const;
    writeLine(event, log.logger, 0);
    expect(log.lines).toHaveLength(1);
    expect(log.lines[0]).toMatchObject({ event: 'callback.failed', election: 'e' });
  });
});
