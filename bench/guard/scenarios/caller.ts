/** The caller in all scenarios: its client, its election, and its kinds of loop. */
import { Etcd3, type IOptions } from 'etcd3';
import { Election, type ElectionOptions, type Term } from 'etcd-election';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { countRound } from '../support/tell.ts';

const [, hosts = '', credentials = ''] = process.argv.slice(2);
const [username, password] = credentials.split(':');

const options = (): IOptions => ({
  hosts: hosts.split(','),
  ...(username !== undefined && username !== '' && { auth: { username, password: password ?? '' } }),
});
export const connect = (): Etcd3 => new Etcd3(options());
export const client = connect();

export const NAME = 'matrix';
export const IP = '10.0.0.7';
export const noop = (): void => undefined;

export const stand = (more: ElectionOptions = {}): Election => {
  const election = new Election(client, NAME, more);
  election.campaign(IP).catch(noop);
  return election;
};

/** Repeats until a signal ends the process. */
export async function forever(round: (turn: number) => unknown): Promise<never> {
  for (let turn = 0; ; turn++) {
    countRound();
    await round(turn);
  }
}

/** As above, and ignores every error. */
export const foreverSwallowing = (round: (turn: number) => unknown): Promise<never> =>
  forever(async (turn) => {
    try {
      await round(turn);
    } catch {
      // and repeats
    }
  });

/** Repeats in each turn of the event loop, and awaits no call of ours. */
export const eachTurn = (round: (turn: number) => unknown): Promise<never> =>
  forever(async (turn) => {
    void (async () => round(turn))().catch(noop);
    await nextTurn();
  });

/** Waits until the fault has appeared: a loop that writes must fail. */
export const SETTLED_MS = 5_000;

export const commit = (term: Term): Promise<unknown> =>
  term.txn().then(client.put('matrix/progress').value('x')).commit();
