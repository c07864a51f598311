/**
 * Probes for a supervisor, such as those of examples/kubernetes/deployment.yaml.
 * - `/healthz`: 503 only if a restart can help.
 * - `/readyz`: 503 if no campaign runs, because etcd refused this replica, or because it is shutting down.
 * - `/leading`: 200 only on the leader, for a load balancer. As a readiness probe it would block every rolling update.
 */
import { createServer } from 'node:http';
import { Etcd3 } from 'etcd3';
import { Election } from 'etcd-election';

const endpoints = process.env['ETCD_ENDPOINTS'];
if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
const client = new Etcd3({ hosts: endpoints.split(',') });
const election = new Election(client, process.env['ELECTION'] ?? 'probed', {
  ttlSeconds: 5,
  progressTimeoutMs: 1_000, // the work must call term.heartbeat() at least this often
  drainTimeoutMs: 1_000, // the work must stop within this time
  onLeader: async (term) => {
    while (term.isCurrent()) {
      if (stuck) await new Promise(() => undefined); // the work hangs, and ignores term.signal
      term.heartbeat();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  },
});
let stuck = false;
process.once('SIGUSR2', () => (stuck = true)); // to try what the probes say when the work hangs

const server = createServer((request, response) => {
  const health = election.health();
  const isWell = { '/healthz': health.healthy, '/readyz': health.standing, '/leading': health.leading }[
    request.url ?? ''
  ];
  response.writeHead(isWell === undefined ? 404 : isWell ? 200 : 503, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(health)}\n`);
});
server.listen(Number(process.env['PORT'] ?? 8080), '127.0.0.1', () =>
  console.log(`listening on ${JSON.stringify(server.address())}`),
);
void election.campaign();

let stopping: Promise<void> | undefined;
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => void (stopping ??= shutDown()));

/** “The order at shutdown” in docs/guide.md explains the order. */
async function shutDown(): Promise<void> {
  const answered = new Promise((resolve) => server.close(resolve)); // stops accepting connections
  await election.close(); // does not wait for open connections
  await answered;
  client.close();
}
