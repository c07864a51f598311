/**
 * A resource behind HTTP that checks fencing tokens: it takes no write with a smaller token than it has seen, so a
 * leader of yesterday that wakes up late does no harm. This check is what makes a write exclusive; no lease can.
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
    // Compared and written without a turn of the event loop in between; with a database: in one transaction.
    const token = BigInt(header);
    if (token < highest)
      return void response.writeHead(412).end(`token ${token} is over, seen: ${highest}\n`);
    highest = token;
    content = body;
    response.writeHead(204).end();
  });
};

const server = createServer(resource);
server.listen(Number(process.env['PORT'] ?? 8080), '127.0.0.1', () =>
  console.log(`listening on ${JSON.stringify(server.address())}`),
);
process.once('SIGTERM', () => server.close());
