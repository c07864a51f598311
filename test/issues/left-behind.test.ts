// Stopped between its entry and the announcement of a newer value, whose call was never sent: "nothing has happened" was
// said of the announcement, and believed of the entry. The key stayed, on a lease that lived on for others: nobody led, for ever.
import { expect } from 'vitest';
import { sharedClientOf } from '../../src/client/shared-client.ts';
import { Deferred } from '../../src/util/deferred.ts';
import { eventually, within } from '../support/eventually.ts';
import { SOON_MS, test } from '../support/world.ts';

test('L1: a campaign that is ended before a newer value could be announced leaves no key behind', async ({
  candidate,
  client,
  world,
}) => {
  const ours = client();
  const other = candidate('other', { client: ours, election: 'other' }); // keeps the lease alive
  await other.campaign();
  const alice = candidate('alice', { client: ours });
  let second: Promise<unknown> | undefined;
  const link = sharedClientOf(ours).transport;
  const unary = link.unary.bind(link);
  const [entered, goOn] = [new Deferred<void>(), new Deferred<void>()];
  link.unary = async (what, invoke, limits) => {
    if (what.startsWith('enter')) second ??= alice.campaign('b'); // too late for the entry itself
    if (!what.startsWith('proclaim')) return await unary(what, invoke, limits);
    entered.resolve();
    await goOn.promise; // all slots are taken
    return await unary(what, invoke, limits);
  };
  const first = alice.campaign('a');
  await within(SOON_MS, 'the entry', entered.promise);
  const resigned = alice.election.resign();
  goOn.resolve();
  await Promise.allSettled([first, second, within(SOON_MS, 'resign()', resigned)]);

  await eventually(async () => expect(await world.keys()).toEqual([]), { withinMs: SOON_MS });
  expect(await world.keys('other')).toHaveLength(1);
});
