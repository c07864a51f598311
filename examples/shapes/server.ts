/** A web server on every replica. All replicas serve requests, and one of them leads. */
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
  // Liveness: 503 only if a restart can help. health() sends no request to etcd.
  if (request.url === '/livez') response.writeHead(health.healthy ? 200 : 503);
  // Readiness: followers can serve too.
  else if (request.url === '/readyz') response.writeHead(health.standing ? 200 : 503);
  response.end(JSON.stringify(election.status));
});

void election.campaign(); // not awaited, because on a follower it does not resolve while another replica leads
server.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1', () =>
  console.log(`listening on ${JSON.stringify(server.address())}`),
);
// #endregion server

// #region shutdown_order
async function shutDown(): Promise<void> {
  const answered = new Promise((resolve) => server.close(resolve)); // 1. accepts no more connections
  await election.close(); // 2. stops the work, then the next replica leads. Does not wait for open connections
  const late = setTimeout(() => server.closeAllConnections(), 5_000); // an event stream never ends by itself
  await answered; // 3. the last requests get their answers
  clearTimeout(late);
  client.close(); // 4. not before: the work, the delete of the key and the last requests use the client
}
// #endregion shutdown_order

onStop(shutDown);
