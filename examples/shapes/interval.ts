/** A job at an interval. Its runs never overlap, and stop with the term. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Election } from 'etcd-election';
import { connect, electionName, onStop } from './connect.ts';

const client = connect();
let running = 0;

async function refreshCache(): Promise<void> {
  if (++running > 1) console.log('two runs overlap');
  await sleep(150);
  running--;
  console.log('refreshed');
}

// #region interval
const election = new Election(client, electionName, {
  onLeader: (term) => term.every(100, () => refreshCache()), // setInterval would go on after the term
});
void election.campaign();

onStop(async () => {
  await election.close();
  client.close();
});
// #endregion interval

process.once('exit', () => console.log(`still running: ${running}`));
