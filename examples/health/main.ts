/**
 * Probes for a supervisor, such as those of examples/kubernetes/deployment.yaml.
 * - `/healthz`: 503 only if a restart helps: we still act as leader but have not renewed in time, or the work is
 *   stuck.
 * - `/readyz`: 503 without a campaign (etcd refused us, or we are shutting down).
 * - `/leading`: 200 on the leader alone, for a load balancer. Never for a readiness probe: a rolling update would wait for ever.
 */
import { createServer } from 'node:http';
import { Etcd3 } from 'etcd3';
import { Election } from 'etcd-election';

const endpoints = process.env['ETCD_ENDPOINTS'];
if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
const client = new Etcd3({ hosts: endpoints.split(',') });
const election = new Election(client, process.env['ELECTION'] ?? 'probed', {
  ttlSeconds: 5,
  progressTimeoutMs: 1_000, // the work calls term.heartbeat() at least this often
  drainTimeoutMs: 1_000, // and stops within this time
  onLeader: async (term) => {
    while (term.isCurrent()) {
      if (stuck) await new Promise(() => undefined); // ignores its signal
      term.heartbeat();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  },
});
let stuck = false;
process.once('SIGUSR2', () => (stuck = true));

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

for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => void shutDown());

/** The order of every web server: see “The order at shutdown” in docs/guide.md. */
async function shutDown(): Promise<void> {
  const answered = new Promise((resolve) => server.close(resolve)); // accepts no more connections
  await election.close(); // does not wait for open connections
  await answered;
  client.close();
}
