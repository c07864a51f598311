/** One function starts the work, and another function stops the work. This is the most common kind of service. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Election, type Term } from 'etcd-election';
import { connect, electionName, onStop } from './connect.ts';

const client = connect();

/** Stands for one item of your work: a message, a request or a row. */
const nextItem = (): Promise<void> => sleep(50);

// #region start_stop
const consumer = {
  start(term: Term): void {
    console.log('started');
    void term.run(() => this.loop(term)); // the end of the term awaits the loop
  },
  async loop(term: Term): Promise<void> {
    while (term.isCurrent()) await nextItem(); // checks before each item, because onFollower may be called late
  },
  async stop(): Promise<void> {
    await sleep(200); // closes what start() has opened
    console.log('stopped');
  },
};

const election = new Election(client, electionName, {
  onLeader: (term) => consumer.start(term),
  onFollower: () => consumer.stop(), // awaited before the key is deleted
});
void election.campaign();

onStop(async () => {
  await election.close();
  client.close();
});
// #endregion start_stop
