/** A loop that ends with the term. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Election, type Term } from 'etcd-election';
import { connect, electionName, onStop } from './connect.ts';

const client = connect();
let steps = 0;
const step = async ({ signal }: { signal: AbortSignal }): Promise<void> => {
  if (!signal.aborted && steps++ === 0) console.log('working');
};

// #region loop
const election = new Election(client, electionName, {
  onLeader: async (term: Term) => {
    while (term.isCurrent()) {
      await step({ signal: term.signal }); // hand the signal to whatever takes one
      await sleep(100, undefined, { signal: term.signal }).catch(() => undefined); // wakes at once at the end
    }
  },
});
void election.campaign();
// #endregion loop

onStop(async () => {
  await election.close();
  client.close();
  console.log('done');
});
