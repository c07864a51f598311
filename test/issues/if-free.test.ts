// lead({ ifFree }) took an estimate of its place for another candidate, and left before anybody could delete an orphan.
// Then the job never ran again, on any replica.
import { expect } from 'vitest';
import { eventually, within } from '../support/eventually.ts';
import { SOON_MS, TTL_SECONDS, test } from '../support/world.ts';

const job = (): Promise<string> => Promise.resolve('ran');
const once = { ifFree: true, atLeastMs: 0 } as const;

test('L3: keys below a folder of the election are no candidates, however many there are', async ({
  candidate,
  client,
}) => {
  const ours = client();
  const { election } = candidate('alice', { client: ours });
  const folder = `${election.status.prefix}${election.status.election}/checkpoints/`;
  for (let count = 0; count < 12; count++) await ours.put(`${folder}${count}`).value('x');
  expect(await within(SOON_MS, 'lead()', election.lead(job, once))).toBe('ran');
});

test('L2: a key that has neither a lease nor a holder is deleted', async ({ candidate, client }) => {
  const ours = client();
  const { election } = candidate('alice', { client: ours });
  const orphan = `${election.status.prefix}${election.status.election}/1234567890abcdef`;
  for (const value of ['a', 'b']) await ours.put(orphan).value(value);
  expect(await within(SOON_MS, 'lead()', election.lead(job, once))).toBe('ran');
});

test('a key without a lease whose holder still lives counts as a candidate', async ({
  candidate,
  client,
  world,
}) => {
  const ours = client();
  const other = candidate('bob', { client: client(), election: 'other' }); // it keeps the lease alive
  await other.campaign();
  const [key] = await world.keys('other');
  const { election } = candidate('alice', { client: ours });
  const detached = `${election.status.prefix}${election.status.election}/${key!.slice(key!.lastIndexOf('/') + 1)}`;
  for (const value of ['a', 'b']) await ours.put(detached).value(value);
  expect(await within(SOON_MS, 'lead()', election.lead(job, once))).toBeUndefined();
  await eventually(async () => (await ours.get(detached)) === 'b', { withinMs: TTL_SECONDS * 1_000 });
});

test('the election is held for atLeastMs, although the finished work reports no progress', async ({
  candidate,
}) => {
  const { election } = candidate('alice', { progressTimeoutMs: 1_000 });
  const startedAtMs = performance.now();
  expect(await election.lead(job, { ifFree: true, atLeastMs: 2_500 })).toBe('ran');
  expect(performance.now() - startedAtMs).toBeGreaterThanOrEqual(2_400);
});
