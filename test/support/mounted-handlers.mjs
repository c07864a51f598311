/**
 * The diagnostics handler as services mount it: in Node's own server, in Express, in Fastify. Prints the three
 * addresses.
 */
import { createServer } from 'node:http';
import express from 'express';
import { fastify } from 'fastify';

const { diagnosticsHandler } = await import(process.env.DIAGNOSTICS);
const options = { metrics: async () => 'mine 1\n' };
const listen = (server) =>
  new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${server.address().port}`));
  });

const app = express();
app.use('/ops', diagnosticsHandler(options));
app.get('/ops/mine', (_request, response) => void response.send('mine'));

const service = fastify();
const handler = diagnosticsHandler({ ...options, prefix: '/ops' });
service.all('/ops/*', (request, reply) => {
  void reply.hijack();
  handler(request.raw, reply.raw);
});

const addresses = {
  node: await listen(createServer(diagnosticsHandler(options))),
  express: `${await listen(createServer(app))}/ops`,
  fastify: `${await service.listen({ port: 0, host: '127.0.0.1' })}/ops`,
};
process.stdout.write(`${JSON.stringify(addresses)}\n`);
setTimeout(() => process.exit(), 60_000); // in case its parent does not end it
