/** A loop that ends with the term. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Election, UnavailableError, type Term } from 'etcd-election';
import { connect, electionName, onStop } from './connect.ts';

const client = connect();
let steps = 0;
const step = async (term: Term): Promise<void> => {
  await term.put(`${electionName}-progress`, String(steps));
  if (steps++ === 0) console.log('working');
};

// #region loop
const election = new Election(client, electionName, {
  onLeader: async (term: Term) => {
    while (term.isCurrent()) {
      try {
        await step(term); // can be repeated
      } catch (error) {
        if (!(error instanceof UnavailableError)) throw error; // ends the term
        console.log(`etcd does not answer: ${error.message}`); // the write had no effect
      }
      await sleep(100, undefined, { signal: term.signal }).catch(() => undefined); // ends as soon as the term ends
    }
  },
});
void election.campaign();

onStop(async () => {
  await election.close();
  client.close();
  console.log('done');
});
// #endregion loop
