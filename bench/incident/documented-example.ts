/**
 * The example in etcd3's own documentation of `Election`, with a failing etcd. Each failed campaign emits
 * `error` twice, and each event starts another campaign, so they double every round. The documentation waits 5 s
 * between rounds. Here it is 700 ms, so that ten seconds show what a minute would.
 */
import { Etcd3 } from 'etcd3';
import { countRound, tellEvery } from '../guard/support/tell.ts';

const RETRY_MS = 700;

const client = new Etcd3({ hosts: process.argv[2]! });
const election = client.election('singleton-job');

function runCampaign(): void {
  countRound();
  const campaign = election.campaign('10.0.0.7');
  campaign.on('elected', () => console.log('This server is now the leader'));
  campaign.on('error', (error) => {
    console.error(error);
    setTimeout(runCampaign, RETRY_MS);
  });
}

tellEvery(250);
runCampaign();
