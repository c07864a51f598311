import { Etcd3 } from 'etcd3';
import { expect, onTestFinished, test } from 'vitest';
import { Election, failedElections } from '../../src/index.ts';

/** An election that cannot begin: its value is not a string. */
async function refused(hosts: string): Promise<Election> {
  const client = new Etcd3({ hosts });
  const election = new Election(client, 'live-elections', { logger: silent });
  onTestFinished(async () => {
    await election.close();
    client.close();
  });
  await election.campaign(7 as never).catch(() => undefined);
  return election;
}

const nothing = (): void => undefined;
const silent = { trace: nothing, debug: nothing, info: nothing, warn: nothing, error: nothing };

test('failedElections() does not count as a read by the program', async () => {
  const election = await refused('http://127.0.0.1:1');
  const looksPerTurn = 100_000;
  for (let scrapes = 0; scrapes <= looksPerTurn; scrapes++) failedElections();
  expect(election.health().standing).toBe(false); // would throw RunawayLoopError
});

test('a later election replaces a failed one on the same etcd, but not on another etcd', async () => {
  const first = await refused('http://127.0.0.1:1');
  const onOther = await refused('http://127.0.0.1:2');
  expect(failedElections()).toEqual([first, onOther]);
  const second = await refused('http://127.0.0.1:1');
  expect(failedElections()).toEqual([onOther, second]);
});

test('a call that was refused during a campaign is no failure once the program has ended the campaign', async () => {
  const client = new Etcd3({ hosts: 'http://127.0.0.1:3' });
  const election = new Election(client, 'live-elections', { logger: silent });
  onTestFinished(async () => {
    await election.close();
    client.close();
  });
  election.campaign('a').catch(nothing);
  await expect(election.lead(() => Promise.resolve())).rejects.toThrow('already has a campaign');
  await election.resign();
  expect(election.health().reason).toBeUndefined();
  expect(failedElections()).not.toContain(election);
  await election.campaign(7 as never).catch(nothing);
  expect(election.health().reason).toContain('expected a string');
  expect(failedElections()).toContain(election);
});
