// `campaign(`${process.env.HOST}:3000`)` announced `undefined:3000`, and nothing said so. Names with such a text are refused.
import { expect } from 'vitest';
import { test } from '../support/world.ts';

test.for([
  ['undefined:3000', 'undefined'],
  ['web [object Object]', '[object Object]'],
] as const)('the value "%s" is accepted with one warning', async ([value, unset], { candidate, log }) => {
  const alice = candidate('alice');
  const term = await alice.campaign(value);
  await alice.campaign(value);
  expect(term.value).toBe(value);
  expect(log.of('usage.unusual')).toMatchObject([{ usage: 'unset-value', level: 40 }]);
  expect(log.of('usage.unusual')[0]!.msg).toContain(`contains "${unset}"`);
});

test('a value that is announced later is checked too', async ({ candidate, log }) => {
  const alice = candidate('alice');
  await alice.campaign('web-1:3000');
  expect(log.of('usage.unusual')).toEqual([]);
  await alice.campaign('undefined:3000');
  expect(log.of('usage.unusual')).toMatchObject([{ usage: 'unset-value' }]);
});

test('a value may be JSON with null', async ({ candidate, log }) => {
  await candidate('alice').campaign('{"zone":null}');
  expect(log.of('usage.unusual')).toEqual([]);
});
