/** The purpose of etcd3's example through our API, with the same failing etcd: one campaign that continues. */
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
