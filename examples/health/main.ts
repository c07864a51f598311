/**
 * Probes for a supervisor, such as those of examples/kubernetes/deployment.yaml.
 *
 * - `/healthz`: 503 only where a restart helps: we believe to lead and have not renewed in time, or the work is stuck.
 * - `/readyz`: 503 while we do not stand (etcd refused us, or we are on our way out).
 * - `/leading`: 200 on the leader alone, for a service that only its leader serves.
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
      if (stuck) await new Promise(() => undefined); // hears neither its signal nor anybody
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

process.once('SIGTERM', () => {
  server.close();
  void election.close().then(() => client.close());
});
