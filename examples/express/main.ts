/** An Express server with a route that only the leader serves, a probe and a clean shutdown. Followers redirect to the leader. */
import { Etcd3 } from 'etcd3';
import express, { type RequestHandler } from 'express';
import { Election } from 'etcd-election';

const endpoints = process.env['ETCD_ENDPOINTS'];
if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
const client = new Etcd3({ hosts: endpoints.split(',') });
const election = new Election(client, process.env['ELECTION'] ?? 'express-service');

const leaderOnly: RequestHandler = (request, response, next) => {
  const { term, leader } = election.status;
  if (term?.isCurrent() === true) return next();
  if (leader === undefined)
    return void response.status(503).set('retry-after', '1').json({ error: 'nobody leads' });
  response.redirect(307, `${leader.value}${request.originalUrl}`); // 307 keeps method and body
};

const app = express();
app.get(
  '/healthz',
  (_, response) => void response.status(election.health().healthy ? 200 : 503).json(election.health()),
);
app.get('/leader', (_, response) => void response.json({ leader: election.status.leader?.value ?? null }));
app.post('/jobs', leaderOnly, (_, response) => {
  // Pass the fencing token to every resource that you write to.
  response.status(202).json({ token: election.status.term?.fencingToken.toString() });
});

const server = app.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1', (error) => {
  if (error) throw error; // Express 5 calls this function also if the port is taken
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  console.log(`listening on {"port":${port}}`);
  void election.campaign(`http://127.0.0.1:${port}`); // the value is the address at which other replicas reach this one
});

let stopping: Promise<void> | undefined;
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => void (stopping ??= shutDown()));

/** “The order at shutdown” in docs/guide.md explains the order. */
async function shutDown(): Promise<void> {
  const answered = new Promise((resolve) => server.close(resolve)); // stops accepting connections
  await election.close(); // does not wait for open connections
  await answered;
  client.close();
}
