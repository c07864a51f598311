/** A job at an interval: never beside itself, and over with the term. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Election } from 'etcd-election';
import { connect, electionName, onStop } from './connect.ts';

const client = connect();
let running = 0;

async function refreshCache(): Promise<void> {
  if (++running > 1) console.log('beside itself');
  await sleep(150);
  running--;
  console.log('refreshed');
}

// #region interval
const election = new Election(client, electionName, {
  onLeader: (term) => term.every(100, () => refreshCache()), // not setInterval: that goes on after the term
});
void election.campaign();
// #endregion interval

onStop(async () => {
  await election.close();
  client.close();
  console.log(`still running: ${running}`);
});
