import { setImmediate as nextTurn } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import { Election, RunawayLoopError } from 'etcd-election';
import { afterAll, afterEach, expect, test } from 'vitest';
import { CALLS_PER_TURN } from '../../src/loop-guard/sync-flood.ts';
import { RecordedLog } from '../support/recorded-log.ts';

// No server listens there: any error is thrown before a request is sent.
const client = new Etcd3({ hosts: 'http://127.0.0.1:1' });
const { logger } = new RecordedLog();
const elections: Election[] = [];
const election = (name: string): Election => {
  const one = new Election(client, name, { logger });
  elections.push(one);
  return one;
};
afterEach(() => {
  // Not awaited: the guard also holds a thousand that close at once.
  for (const one of elections.splice(0)) void one.close();
});
afterAll(() => client.close());

/** @returns how many calls succeeded, and the error that ended them. */
function flood(call: () => unknown): { calls: number; error: unknown } {
  for (let calls = 0; calls < 10_000; calls++)
    try {
      call();
    } catch (error) {
      return { calls, error };
    }
  return { calls: 10_000, error: undefined };
}

test('G4: 10,000 un-awaited campaign() in one turn throw synchronously and name the election', () => {
  const one = election('flooded');
  const { calls, error } = flood(() => void one.campaign('10.0.0.7'));
  expect(error).toBeInstanceOf(RunawayLoopError);
  expect(error).toMatchObject({ code: 'ELECTION_RUNAWAY', election: 'flooded', calls: CALLS_PER_TURN + 1 });
  expect(calls).toBeLessThanOrEqual(CALLS_PER_TURN);
});

test('a signal that aborts in the turn of a flood still closes the election', async () => {
  const abort = new AbortController();
  const one = new Election(client, 'aborted in a flood', { logger, signal: abort.signal });
  elections.push(one);
  expect(() => {
    for (;;) one.isCurrent();
  }).toThrow(RunawayLoopError);
  abort.abort();
  await nextTurn();
  expect(one.status.state).toBe('closed');
});

test('G4: un-awaited lead() too', () => {
  const one = election('led');
  const { error } = flood(() => void one.lead(async () => undefined).catch(() => undefined));
  expect(error).toBeInstanceOf(RunawayLoopError);
});

test('G4: a new Election each time is the same flood', () => {
  const { calls, error } = flood(() => void election('made anew').campaign());
  expect(error).toMatchObject({ code: 'ELECTION_RUNAWAY', election: 'made anew' });
  expect(calls).toBeLessThanOrEqual(CALLS_PER_TURN);
});

test('G4, G3: two alternating clients are the same flood', () => {
  const other = new Etcd3({ hosts: 'http://127.0.0.1:1' });
  let turn = 0;
  const { calls, error } = flood(() => {
    const one = new Election(turn++ % 2 === 0 ? client : other, 'on two clients', { logger });
    elections.push(one);
    void one.campaign();
  });
  other.close();
  expect(error).toMatchObject({ code: 'ELECTION_RUNAWAY', election: 'on two clients' });
  expect(calls).toBeLessThanOrEqual(CALLS_PER_TURN);
});

test('one election for each of many names is not a flood', () => {
  for (let i = 0; i < 2 * CALLS_PER_TURN; i++) void new Election(client, `shard-${i}`, { logger });
});

test('calls in many turns are not a flood', async () => {
  const one = election('patient');
  for (let turn = 0; turn < 3; turn++) {
    for (let calls = 0; calls < CALLS_PER_TURN; calls++) void one.campaign();
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
  }
});
