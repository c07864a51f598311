// The campaign stopped between its entry and the announcement of a newer value, whose call was never sent. "Nothing
// has happened" was true of the announcement, and wrongly applied to the entry. The key stayed on a lease that other
// elections kept alive, so no candidate ever led.
import { expect } from 'vitest';
import { sharedClientOf } from '../../src/client/shared-client.ts';
import { Deferred } from '../../src/util/deferred.ts';
import { eventually, within } from '../support/eventually.ts';
import { SOON_MS, test } from '../support/world.ts';

test('L1: a campaign that ends before it announced a newer value leaves no key', async ({
  candidate,
  client,
  world,
}) => {
  const ours = client();
  const other = candidate('other', { client: ours, election: 'other' }); // it keeps the lease alive
  await other.campaign();
  const alice = candidate('alice', { client: ours });
  let second: Promise<unknown> | undefined;
  const link = sharedClientOf(ours).transport;
  const unary = link.unary.bind(link);
  const [entered, goOn] = [new Deferred<void>(), new Deferred<void>()];
  link.unary = async (what, invoke, limits) => {
    if (what.startsWith('enter')) second ??= alice.campaign('b'); // too late for the entry itself
    if (!what.startsWith('announce')) return await unary(what, invoke, limits);
    entered.resolve();
    await goOn.promise; // all slots are in use
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
