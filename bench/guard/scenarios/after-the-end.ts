/** Every method on a closed election and an ended term. */
import { Election, type Term } from 'etcd-election';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { methodsWithRows, overRows } from '../coverage.ts';
import { client, forever, foreverSwallowing, IP, NAME, noop } from './caller.ts';

/** One call of a method without arguments, on a closed election and an ended term. */
async function overScenario(method: string): Promise<() => unknown> {
  const election = new Election(client, NAME);
  const term = await election.campaign(IP);
  await election.close();
  const [of = '', name = ''] = method.replace('()', '').split('.');
  const on = { election, term }[of] as unknown as Record<string, () => unknown>;
  return async () => {
    const answer = on[name]!();
    if (name === 'observe') for await (const _ of answer as AsyncIterable<unknown>);
    else if (name === 'txn') await (answer as ReturnType<Term['txn']>).commit();
    else await answer;
  };
}

export const callsAfterTheEnd: Record<string, () => unknown> = Object.fromEntries(
  methodsWithRows.flatMap((method) => {
    const { loop, flood } = overRows(method);
    return [
      [loop, async () => foreverSwallowing(await overScenario(method))],
      [
        flood,
        async () => {
          const call = await overScenario(method);
          return forever(() => {
            Promise.resolve(call()).catch(noop);
            return nextTurn();
          });
        },
      ],
    ];
  }),
);
