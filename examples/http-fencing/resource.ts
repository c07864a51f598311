/**
 * A resource behind HTTP that checks fencing tokens. It refuses a token that is smaller than the largest one that it has seen.
 * So a former leader cannot write once the new leader has written.
 *
 * This example keeps the largest token in memory, so a restart loses the token. A real resource stores the token with the data,
 * in the same transaction: see ../postgres/fenced.ts.
 */
import { createServer, type RequestListener } from 'node:http';

let highest = 0n;
let content = '';

const resource: RequestListener = (request, response) => {
  if (request.method === 'GET') return void response.end(JSON.stringify({ content, token: String(highest) }));
  const header = request.headers['fencing-token'];
  if (typeof header !== 'string' || !/^\d{1,19}$/.test(header)) {
    return void response.writeHead(428).end('a write needs a fencing-token\n'); // 428 Precondition Required
  }
  let body = '';
  request.setEncoding('utf8');
  request.on('data', (text: string) => (body += text));
  request.on('end', () => {
    // No other request comes between the check and the write, because both happen in one turn of the event loop. In a database,
    // use one transaction.
    const token = BigInt(header);
    if (token < highest)
      return void response.writeHead(412).end(`token ${token} is stale: ${highest} has written\n`);
    highest = token;
    content = body;
    response.writeHead(204).end();
  });
};

const server = createServer(resource);
server.listen(Number(process.env['PORT'] ?? 8080), '127.0.0.1', () =>
  console.log(`listening on ${JSON.stringify(server.address())}`),
);
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => server.close());
