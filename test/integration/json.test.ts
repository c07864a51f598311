import { inspect } from 'node:util';
import pino from 'pino';
import { InvalidInputError, LeadershipLostError } from 'etcd-election';
import { expect } from 'vitest';
import { test } from '../support/world.ts';

// A status route or a log line converts these to JSON, which has no bigint.

const json = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

test('status, leader(), candidates(), observe() and the term have JSON forms with tokens as strings', async ({
  candidate,
  prefix,
}) => {
  const { election } = candidate('alice');
  expect(json(election.status)).toMatchObject({ election: 'e', state: 'idle' });

  const term = await election.campaign('alice');

  const token = term.fencingToken.toString();
  const entry = { key: term.key, value: 'alice', fencingToken: token, leaseId: term.leaseId };
  const facts = { election: 'e', ...entry, isCurrent: true, remainingMs: expect.any(Number) };
  expect(json(term)).toEqual(facts);
  expect(json(election.status)).toMatchObject({ state: 'leading', term: facts, leader: entry, position: 1 });
  expect(json(await election.leader())).toMatchObject(entry);
  expect(json(await election.candidates())).toMatchObject([entry]);
  for await (const leader of election.observe()) {
    expect(json(leader)).toMatchObject(entry);
    break;
  }
  expect(json(election.health())).toMatchObject({ leading: true });
  expect(json(election)).toMatchObject({ name: 'e' });
  expect(term.key).toContain(prefix);
});

test('the JSON of an ended term says so, and contains its error', async ({ candidate }) => {
  const { election } = candidate('alice');
  const term = await election.campaign('alice');
  await election.resign();

  expect(json(term)).toMatchObject({ isCurrent: false, remainingMs: 0 });
  expect(json(term.signal.reason)).toEqual({
    name: 'LeadershipLostError',
    code: 'ELECTION_LEADERSHIP_LOST',
    message: expect.stringContaining('no longer leader of "e"'),
    election: 'e',
    retryable: false,
    fencingToken: term.fencingToken.toString(),
    reason: 'resigned',
  });
});

test('an error with a circular cause or a secret', () => {
  const cause = Object.assign(new Error('no such user'), { password: 'hunter2', self: {} as unknown });
  cause.self = cause;
  const error = new InvalidInputError('e', 'refused', { cause });
  expect(json(error)).toMatchObject({
    message: 'refused; see docs/errors.md#election_invalid_input',
    cause: 'Error: no such user',
  });
  const lost = new LeadershipLostError(
    { election: 'e', fencingToken: 7n, reason: 'evicted' },
    { cause: 'x' },
  );
  expect(json(lost)).toMatchObject({ fencingToken: '7', cause: 'x' });
});

test('in a log of pino and on the console', async ({ candidate }) => {
  const { election } = candidate('alice');
  const term = await election.campaign('alice');
  const lines: string[] = [];
  const logger = pino({}, { write: (line: string) => void lines.push(line) });

  const lost = new LeadershipLostError({
    election: 'e',
    fencingToken: term.fencingToken,
    reason: 'evicted',
  });
  logger.info({ term, status: election.status, err: lost }, 'leading');

  expect(JSON.parse(lines[0]!)).toMatchObject({
    term: { fencingToken: term.fencingToken.toString() },
    status: { leader: { value: 'alice' } },
    err: { code: 'ELECTION_LEADERSHIP_LOST' },
  });
  expect(inspect(term)).toMatch(/^Term \{\n? +election: 'e',/);
  expect(inspect(term)).toContain(`fencingToken: ${term.fencingToken}n`);
  expect(inspect(election.status)).toContain("value: 'alice'");
  expect(inspect(await election.leader())).not.toContain('[Function');
});
