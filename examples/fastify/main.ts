/** A Fastify server with the election as a plugin. The election closes with the server. */
import { Etcd3 } from 'etcd3';
import fastify, { type FastifyPluginAsync, type preHandlerAsyncHookHandler } from 'fastify';
import { Election, type ElectionOptions } from 'etcd-election';

declare module 'fastify' {
  interface FastifyInstance {
    election: Election;
  }
}

interface ElectionPluginOptions extends ElectionOptions {
  readonly client: Etcd3;
  readonly name: string;
}

/** `skip-override` makes the plugin visible to all routes of the server. */
const electionPlugin: FastifyPluginAsync<ElectionPluginOptions> = async (
  app,
  { client, name, ...options },
) => {
  const election = new Election(client, name, { logger: app.log, ...options });
  app.decorate('election', election);
  app.addHook('onListen', async () => void election.campaign(app.listeningOrigin));
  // Fastify runs this hook before it waits for open connections.
  app.addHook('preClose', () => election.close());
};
Object.assign(electionPlugin, { [Symbol.for('skip-override')]: true });

const leaderOnly: preHandlerAsyncHookHandler = async (request, reply) => {
  const { term, leader } = request.server.election.status;
  if (term?.isCurrent() === true) return;
  if (leader === undefined) return reply.code(503).header('retry-after', '1').send({ error: 'nobody leads' });
  return reply.redirect(`${leader.value}${request.url}`, 307);
};

const endpoints = process.env['ETCD_ENDPOINTS'];
if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
const client = new Etcd3({ hosts: endpoints.split(',') });
const app = fastify({ logger: { level: 'warn' } });
await app.register(electionPlugin, { client, name: process.env['ELECTION'] ?? 'fastify-service' });

app.get('/healthz', async (_, reply) => {
  const health = app.election.health();
  return reply.code(health.healthy ? 200 : 503).send(health);
});
app.get('/leader', async () => ({ leader: app.election.status.leader?.value ?? null }));
app.post('/jobs', { preHandler: leaderOnly }, async (_, reply) =>
  reply.code(202).send({ token: app.election.status.term?.fencingToken.toString() }),
);

await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) });
console.log(`listening on {"port":${new URL(app.listeningOrigin).port}}`);
let stopping: Promise<void> | undefined;
const shutDown = (): void => void (stopping ??= app.close().then(() => client.close()));
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, shutDown);
