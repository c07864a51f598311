/** A queue consumer. For each message it makes a fenced write of the result, then acknowledges the message. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Election, UnavailableError, type Term } from 'etcd-election';
import { connect, electionName, onStop } from './connect.ts';

const client = connect();

/** Stands for your queue. `take()` waits for a message. A real queue delivers unacknowledged messages again. */
const queue = {
  next: 0,
  take: async (signal: AbortSignal): Promise<number | undefined> => {
    await sleep(20, undefined, { signal }).catch(() => undefined);
    return signal.aborted ? undefined : ++queue.next;
  },
  acknowledge: async (message: number) => console.log(`acknowledged ${message}`),
};

// #region consumer
async function consume(term: Term): Promise<void> {
  while (term.isCurrent()) {
    const message = await queue.take(term.signal); // the end of the term ends the wait
    if (message === undefined) {
      await sleep(100, undefined, { signal: term.signal }).catch(() => undefined); // the queue is empty, or the term is over
      continue;
    }
    try {
      await handle(term, message); // close() waits for this call
      await queue.acknowledge(message);
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error;
      console.log(error.message); // etcd does not answer. The queue will deliver the message again
    }
  }
}

/** Makes a fenced write. In a former leader it rejects with LeadershipLostError, so the message is not acknowledged. */
async function handle(term: Term, message: number): Promise<void> {
  await term
    .txn()
    .then(client.put(`${electionName}-results/${message}`).value('done'))
    .commit();
}

const election = new Election(client, electionName, { onLeader: consume });
void election.campaign();

onStop(async () => {
  await election.close(); // the current message is written and acknowledged first
  client.close();
});
// #endregion consumer
