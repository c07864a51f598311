/** A web server on every replica: all serve, one leads. */
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Election } from 'etcd-election';
import { connect, electionName, onStop } from './connect.ts';

const client = connect();

// #region server
const election = new Election(client, electionName, {
  onLeader: async (term) => {
    while (term.isCurrent()) await sleep(1_000, undefined, { signal: term.signal }).catch(() => undefined);
  },
});

const server = createServer((request, response) => {
  const health = election.health();
  // Liveness: 503 only where a restart helps. Not "we lead", and no question to etcd.
  if (request.url === '/livez') response.writeHead(health.healthy ? 200 : 503);
  // Readiness: whatever this replica serves, and it serves as a follower too.
  else if (request.url === '/readyz') response.writeHead(health.standing ? 200 : 503);
  response.end(JSON.stringify(election.status));
});

void election.campaign(); // not awaited: a follower waits here for as long as another leads
server.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1', () =>
  console.log(`listening on ${JSON.stringify(server.address())}`),
);
// #endregion server

// #region shutdown_order
async function shutDown(): Promise<void> {
  await election.close(); // first: the next replica leads while we still answer our last requests
  server.close();
  server.closeAllConnections(); // an open event stream would keep it for ever
  client.close(); // last: the work and the release of the key use it
}
// #endregion shutdown_order

onStop(shutDown);
