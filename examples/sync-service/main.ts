/**
 * The sync service. Every replica accepts tasks over HTTP and stores them in etcd. Only the leader executes tasks.
 *
 *   PORT=8788 DIAGNOSTICS_PORT=6161 ETCD_ENDPOINTS=http://127.0.0.1:2379 npm run example -- sync-service/main
 */
import { createServer } from 'node:http';
import { Etcd3 } from 'etcd3';
import { Election } from 'etcd-election';
import { api } from './api.ts';
import { settingsFrom } from './settings.ts';
import { TaskStore } from './task-store.ts';
import { carryOutTasks } from './worker.ts';

/** How long the last requests may take after the election is closed. */
const LAST_ANSWERS_MS = 5_000;

const settings = settingsFrom(process.env);
const client = new Etcd3({ hosts: settings.endpoints });
const tasks = new TaskStore(client, settings.keys);
const election = new Election(client, settings.election, {
  ttlSeconds: settings.ttlSeconds,
  onLeader: (term) => carryOutTasks(term, tasks),
});

const server = createServer(api(tasks, election));
server.listen(settings.port, settings.host, () =>
  console.log(`listening on ${JSON.stringify(server.address())}`),
);

const diagnostics = await openDiagnostics();
void election.campaign(settings.announce); // campaigns again after every loss

let stopping: Promise<void> | undefined;
for (const signal of ['SIGTERM', 'SIGINT'] as const)
  process.on(signal, () => void (stopping ??= shutDown(signal)));

async function shutDown(signal: NodeJS.Signals): Promise<void> {
  console.log(`${signal}: shutting down`);
  const answered = new Promise((resolve) => server.close(resolve));
  await election.close(); // does not wait for open connections
  const late = setTimeout(() => server.closeAllConnections(), LAST_ANSWERS_MS);
  await answered;
  clearTimeout(late);
  await diagnostics?.close();
  client.close();
  console.log('shut down');
}

/** Serves profiles, elections and metrics over HTTP, if DIAGNOSTICS_PORT is not `off`. Otherwise loads no code for this. */
async function openDiagnostics() {
  if (settings.diagnosticsPort === undefined) return undefined;
  const [{ serveDiagnostics }, { electionMetrics }, promClient] = await Promise.all([
    import('etcd-election/diagnostics'),
    import('etcd-election/prometheus'),
    import('prom-client'),
  ]);
  electionMetrics(promClient);
  promClient.collectDefaultMetrics();
  const served = await serveDiagnostics({
    port: settings.diagnosticsPort,
    metrics: () => promClient.register.metrics(),
  });
  console.log(`diagnostics on ${served.url}/debug/pprof/`);
  return served;
}
