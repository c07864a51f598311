import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';

const LOWEST_PORT = 10_000;
const ATTEMPTS = 100;
const STRETCHES = 16;

/** The latest ports that were found, the oldest first. Perhaps nobody listens on them yet. */
const found: number[] = [];
const REMEMBERED = 100;

/**
 * Finds a free TCP port on 127.0.0.1.
 *
 * The port lies below the range that the system uses for outgoing connections and for port 0. Otherwise any outgoing
 * connection could take the port of a stopped member. A client that dials the stopped member could even connect to itself.
 *
 * Parallel processes start in different parts of the range. Otherwise one process could take a port that another has
 * found but does not use yet. In one process, no two of a hundred calls in a row get the same port.
 *
 * @throws {Error} if a hundred random ports in a row are taken.
 */
export async function freePort(): Promise<number> {
  const end = await firstOutgoingPort();
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const drawn = Math.random();
    const share = attempt < ATTEMPTS / 2 ? ((process.pid % STRETCHES) + drawn) / STRETCHES : drawn;
    const port = LOWEST_PORT + Math.floor(share * (end - LOWEST_PORT));
    if (found.includes(port)) continue;
    found.push(port); // before the wait, so that a search at the same time takes another port
    if (found.length > REMEMBERED) found.shift();
    if (await canListen(port)) return port;
  }
  throw new Error(`no free port on 127.0.0.1 between ${LOWEST_PORT} and ${end} in ${ATTEMPTS} attempts`);
}

/**
 * The first port of Linux's range for outgoing connections. Returns 32,768 if too few ports lie below that range, and on
 * other systems, whose ranges begin higher.
 */
async function firstOutgoingPort(): Promise<number> {
  const range = await readFile('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').catch(() => '');
  const first = Number.parseInt(range, 10);
  return first > LOWEST_PORT + 1000 ? first : 32_768;
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
