/**
 * How metrics and traces distinguish "nobody leads" from "the leader is unknown". The events are published as
 * the library does.
 */
import { channel } from 'node:diagnostics_channel';
import { trace } from '@opentelemetry/api';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { publish } from '../../src/logging/event-channels.ts';
import { Recorder } from '../../src/telemetry/recorder.ts';
import { TermSpans } from '../../src/telemetry/term-spans.ts';

const observed: number[] = [];
let recorder: Recorder;
const changed = (fencingToken: string | undefined, isKnown = true): void =>
  channel('etcd-election:leader.changed').publish({
    type: 'leader.changed',
    election: 'e',
    fencingToken,
    value: fencingToken && 'v',
    isKnown,
  });

beforeEach(() => {
  recorder = new Recorder({
    begin: () => undefined,
    record: (metric, value) => void (metric === 'leaderlessDuration' && observed.push(value)),
  });
});
afterEach(() => {
  observed.length = 0;
  recorder[Symbol.dispose]();
  vi.restoreAllMocks();
});

test('time without a leader is measured; time with an unknown leader is not', () => {
  const now = vi.spyOn(performance, 'now');
  const at = (ms: number): void => void now.mockReturnValue(ms);
  at(0);
  changed('1');
  changed(undefined, false); // cut off
  at(10_000);
  changed('1');
  expect(observed).toEqual([]);
  changed(undefined);
  at(12_000);
  changed(undefined, false);
  at(13_000);
  changed('2');
  expect(observed).toEqual([3]);
});

test("a term's span begins when the election last became free", () => {
  const exported = new InMemorySpanExporter();
  const spans = new TermSpans(
    new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exported)] }),
    's',
  );
  const now = vi.spyOn(Date, 'now');
  const at = (seconds: number): void => void now.mockReturnValue(seconds * 1_000);
  at(1_000);
  changed(undefined);
  at(2_000);
  changed('1'); // another replica
  at(3_000);
  changed(undefined);
  at(4_000);
  changed('2');
  channel('etcd-election:term.started').publish({
    type: 'term.started',
    election: 'e',
    fencingToken: '2',
    value: 'v',
    leaseId: '7',
    clusterId: undefined,
  });
  expect(exported.getFinishedSpans().map(({ startTime }) => startTime[0])).toEqual([3_000]);
  spans.close();
});

/** Two campaigns in elections of the name `e`. */
const here = { key: 'here' };
const there = { key: 'there' };
const end = (source: { key: string }): void =>
  publish({ type: 'campaign.ended', election: 'e', reason: 'closed' }, source);
const see = (source: { key: string }, fencingToken: string | undefined): void =>
  publish(
    { type: 'leader.changed', election: 'e', fencingToken, value: fencingToken, isKnown: true },
    source,
  );

test('elections of one name under two prefixes have their own time without a leader', () => {
  const now = vi.spyOn(performance, 'now');
  now.mockReturnValue(0);
  see(here, undefined);
  now.mockReturnValue(1_000);
  see(there, undefined);
  end(there);
  now.mockReturnValue(2_000);
  see(there, '9');
  see(here, '1');
  expect(observed).toEqual([2]);
});

test('two campaigns in one election measure its time without a leader once, until both have ended', () => {
  const now = vi.spyOn(performance, 'now');
  const twin = { key: 'here' };
  now.mockReturnValue(0);
  see(here, undefined);
  see(twin, undefined);
  end(here);
  now.mockReturnValue(3_000);
  see(twin, '1');
  expect(observed).toEqual([3]);
  see(twin, undefined);
  end(twin);
  see(here, '2'); // a later campaign: nothing of this process has watched meanwhile
  expect(observed).toEqual([3]);
});

test('terms of one name under two prefixes have their own spans', () => {
  const exported = new InMemorySpanExporter();
  const spans = new TermSpans(
    new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exported)] }),
    's',
  );
  const lead = (source: { key: string }, fencingToken: string): void =>
    publish(
      { type: 'term.started', election: 'e', fencingToken, value: 'v', leaseId: '7', clusterId: undefined },
      source,
    );
  const isTraced = (fencingToken: bigint): boolean =>
    trace.getSpan(spans.contextOf({ election: 'e', fencingToken })) !== undefined;
  lead(here, '1');
  lead(there, '2');
  expect([isTraced(1n), isTraced(2n)]).toEqual([true, true]);
  end(there);
  expect([isTraced(1n), isTraced(2n)]).toEqual([true, false]);
  publish({ type: 'term.ended', election: 'e', fencingToken: '1', reason: 'resigned', ledMs: 5 }, here);
  publish({ type: 'term.released', election: 'e', fencingToken: '1', afterMs: 5 }, here);
  expect(exported.getFinishedSpans().map(({ name }) => name)).toEqual(['lead e', 'lead e', 'hand over e']);
  expect(isTraced(1n)).toBe(false);
  spans.close();
});
