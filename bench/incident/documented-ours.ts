/** What etcd3's example is for, through our API, under the same etcd that fails: one campaign, which goes on. */
import { Etcd3 } from 'etcd3';
import { Election } from 'etcd-election';
import { countRound, tellEvery } from '../guard/support/tell.ts';

const client = new Etcd3({ hosts: process.argv[2]! });
const election = new Election(client, 'singleton-job', {
  onLeader: () => console.log('This server is now the leader'),
});

function runCampaign(): void {
  countRound();
  void election.campaign('10.0.0.7');
}

tellEvery(250);
runCampaign();
