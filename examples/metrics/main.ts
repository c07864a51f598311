/** `/metrics` for Prometheus: the metrics of the process and of its elections. */
import { createServer } from 'node:http';
import { Etcd3 } from 'etcd3';
import * as promClient from 'prom-client';
import { Election } from 'etcd-election';
import { electionMetrics } from 'etcd-election/prometheus';

promClient.collectDefaultMetrics();
const metrics = electionMetrics(promClient);

const endpoints = process.env['ETCD_ENDPOINTS'];
if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
const client = new Etcd3({ hosts: endpoints.split(',') });
const elections = ['shard-1', 'shard-2'].map((name) => new Election(client, name));
for (const election of elections) void election.campaign();

const server = createServer((request, response) => {
  if (request.url !== '/metrics') return void response.writeHead(404).end();
  promClient.register.metrics().then(
    (text) => response.writeHead(200, { 'content-type': promClient.register.contentType }).end(text),
    (error: unknown) => response.writeHead(500).end(String(error)),
  );
});
// HOST is the address at which Prometheus reaches this host.
server.listen(Number(process.env['PORT'] ?? 9464), process.env['HOST'] ?? '127.0.0.1', () =>
  console.log(`listening on ${JSON.stringify(server.address())}`),
);

let stopping: Promise<void> | undefined;
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => void (stopping ??= shutDown()));

async function shutDown(): Promise<void> {
  const answered = new Promise((resolve) => server.close(resolve)); // stops accepting connections
  await Promise.all(elections.map((election) => election.close())); // does not wait for open connections
  await answered;
  metrics.close();
  client.close();
}
