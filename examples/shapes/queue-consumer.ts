/** A consumer of a queue: what was taken is written under the fence, and only then acknowledged. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Election, type Term } from 'etcd-election';
import { connect, electionName, onStop } from './connect.ts';

const client = connect();

/** Stands for a queue whose `take()` waits for a message, and gives what is not acknowledged to another. */
const queue = {
  next: 0,
  take: async (signal: AbortSignal): Promise<number | undefined> => {
    await sleep(20, undefined, { signal }).catch(() => undefined);
    return signal.aborted ? undefined : ++queue.next;
  },
  acknowledge: async (message: number) => console.log(`acknowledged ${message}`),
};

// #region consumer
const stopping = new AbortController();
let consumed: Promise<void> = Promise.resolve();

async function consume(term: Term): Promise<void> {
  const signal = AbortSignal.any([term.signal, stopping.signal]);
  while (term.isCurrent() && !signal.aborted) {
    const message = await queue.take(signal); // the signal ends the wait, so no message is taken and lost
    if (message === undefined) return;
    await handle(term, message);
    await queue.acknowledge(message);
  }
}

/** Writes under the fence: a leader of yesterday gets LeadershipLostError, and does not acknowledge. */
async function handle(term: Term, message: number): Promise<void> {
  await term
    .txn()
    .then(client.put(`${electionName}-results/${message}`).value('done'))
    .commit();
}

const election = new Election(client, electionName, { onLeader: (term) => (consumed = consume(term)) });
void election.campaign();
// #endregion consumer

// #region stop
onStop(async () => {
  stopping.abort(); // takes no more messages
  await consumed.catch(() => undefined); // the one in hand is written and acknowledged: after close() it could not be
  await election.close();
  client.close();
});
// #endregion stop
