/** A pair of functions that start and stop something: the commonest shape. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Election } from 'etcd-election';
import { connect, electionName, onStop } from './connect.ts';

const client = connect();

/** Stands for any consumer, server or scheduler with `start()` and `stop()`. */
const consumer = {
  start: async () => console.log('started'),
  stop: async () => {
    await sleep(200); // what it works on is finished first
    console.log('stopped');
  },
};

// #region start_stop
const election = new Election(client, electionName, {
  onLeader: () => consumer.start(),
  onFollower: () => consumer.stop(), // awaited before the key goes
});
void election.campaign();
// #endregion start_stop

onStop(async () => {
  await election.close();
  client.close();
});
