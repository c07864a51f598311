import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { setImmediate as nextTurn } from 'node:timers/promises';
import pino from 'pino';
import { channelNames, RefusedError, type Logger } from 'etcd-election';
import { describe, expect, test } from 'vitest';
import { LINES_AT_ONCE } from '../../src/core/log-quota.ts';
import { publish } from '../../src/logging/event-channels.ts';
import { writeLine } from '../../src/logging/event-lines.ts';
import { EventLog } from '../../src/logging/event-log.ts';
import { RecordedLog } from '../support/recorded-log.ts';
import { all, samples } from './event-samples.ts';

describe('each event', () => {
  test.for(all)('$event.type: one line at $level that is valid JSON', ({ event, level }) => {
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
    publish(event, { key: 'k' });
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

  test.for([
    [2_900, 'its own code kept it busy (2900 ms of CPU)'],
    [50, 'frozen, suspended or starved of CPU (50 ms of CPU)'],
  ] as const)('S2: a stall of 3 s with %i ms of CPU: %s', ([cpuMs, said]) => {
    const log = new RecordedLog();
    writeLine({ ...samples['process.stalled'].event, cpuMs }, log.logger, 0);
    expect(log.lines[0]!.msg).toContain(said);
  });

  test('a guard that other calls have tripped, such as leader(), does not speak of rounds only', () => {
    const log = new RecordedLog();
    writeLine(samples['guard.tripped'].event, log.logger, 0);
    expect(log.lines[0]!.msg).toContain('6 rounds, new elections or other calls came too fast');
  });

  test('times have at most one decimal, in lines only', () => {
    const log = new RecordedLog();
    const event = { ...samples['candidate.waiting'].event, waitedMs: 5000.359_085 };
    writeLine(event, log.logger, 0);
    expect(log.lines[0]).toMatchObject({ waitedMs: 5000.4 });
    expect(event.waitedMs).toBe(5000.359_085);
  });

  test("an error has pino's form: with its stack, under err", () => {
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

  test('of the library shows its cause once', () => {
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

test('the line of an error from Promise.all says that the other promises may still run', async () => {
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

describe('reports never throw', () => {
  test('if a logger throws', () => {
    const fail = (): never => {
      throw new Error('disk full');
    };
    const broken: Logger = { trace: fail, debug: fail, info: fail, warn: fail, error: fail };
    for (const { event } of all) expect(() => writeLine(event, broken, 0)).not.toThrow();
  });

  test('if a logger rejects', async () => {
    const rejections: unknown[] = [];
    const note = (reason: unknown): void => void rejections.push(reason);
    process.on('unhandledRejection', note);
    const fail = (): unknown => Promise.reject(new Error('the log server is away'));
    const broken: Logger = { trace: fail, debug: fail, info: fail, warn: fail, error: fail };
    for (const { event } of all) writeLine(event, broken, 0);
    await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', note);
    expect(rejections).toEqual([]);
  });

  test('if the work throws a value that cannot become a string', () => {
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

  test('if there is no listener', () => {
    const silent = pino({ level: 'silent' });
    for (const { event } of all) expect(() => writeLine(event, silent, 0)).not.toThrow();
  });
});

describe('the event log', () => {
  const { event } = samples['term.started'];

  test('G5: stops writing after a burst and counts what it omits; channels get everything', async () => {
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

  test('G5, G3: a new event log for the same election has the same budget', async () => {
    const log = new RecordedLog();
    for (let i = 0; i < 1_000; i++) new EventLog(log.logger, 'budget of many').report(event);
    await nextTurn();
    expect(log.lines).toHaveLength(LINES_AT_ONCE);
  });

  test('traces, which a logger usually omits, use no budget', async () => {
    const log = new RecordedLog('info');
    const eventLog = new EventLog(log.logger, 'budget of traces');
    for (let i = 0; i < 1_000; i++) eventLog.report(samples['session.renewed'].event);
    eventLog.report(event);
    await nextTurn();
    expect(log.lines).toHaveLength(1);
    expect(log.lines[0]).not.toHaveProperty('suppressedLines');
  });
});

describe('the time of a line', () => {
  const { event: news } = samples['term.ended'];
  const { event: fault } = samples['session.lost'];

  test('subscribers get an event at once, and its line follows at the end of the turn', async () => {
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

  test('a fault is written at once, after all waiting lines', () => {
    const log = new RecordedLog();
    const eventLog = new EventLog(log.logger, 'news and a fault');
    eventLog.report(news);
    eventLog.report(fault);
    expect(log.lines.map((line) => line.event)).toEqual(['term.ended', 'session.lost']);
  });

  test('the last line of a campaign is written at once: its logger may close afterwards', () => {
    const log = new RecordedLog();
    const eventLog = new EventLog(log.logger, 'the last line');
    eventLog.report(news);
    eventLog.report(samples['campaign.ended'].event);
    expect(log.lines.map((line) => line.event)).toEqual(['term.ended', 'campaign.ended']);
  });

  test('process.exit() loses no line of a campaign, and no listener remains afterwards', () => {
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
