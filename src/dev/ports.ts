import { createSocket } from 'node:dgram';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';

const LOWEST_PORT = 10_000;
const ATTEMPTS = 100;

/** A TCP port on 127.0.0.1. Until it is released, no other call of {@link reservePort} gets it, in any process. */
export interface ReservedPort extends Disposable {
  readonly port: number;
  /** May be called again. */
  release(): void;
}

/**
 * Finds a free TCP port on 127.0.0.1, and reserves it until `release()` or the end of this process.
 *
 * The holder may stop listening and listen again later, as a member that restarts does. So a look at who listens now is
 * not enough. The reservation is a UDP socket on the same number: the system gives it to one process only, and ends it
 * with that process. It does not keep the process alive.
 *
 * The port lies below the range that the system uses for outgoing connections and for port 0. Otherwise any outgoing
 * connection could take the port of a stopped member. A client that dials the stopped member could even connect to itself.
 *
 * @throws {Error} if a hundred random ports in a row are taken.
 */
export async function reservePort(): Promise<ReservedPort> {
  const end = await firstOutgoingPort();
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const port = LOWEST_PORT + Math.floor(Math.random() * (end - LOWEST_PORT));
    const reservation = await reserve(port);
    if (reservation === undefined) continue;
    if (await canListen(port)) return reservation;
    reservation.release();
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

/** Returns undefined if the port is reserved already, or if another program uses the UDP port. */
function reserve(port: number): Promise<ReservedPort | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4').unref();
    let release = (): void => {
      release = () => {};
      socket.close();
    };
    socket.once('error', () => resolve(undefined));
    // Without `exclusive`, the workers of node:cluster would share the socket.
    socket.bind({ port, address: '127.0.0.1', exclusive: true }, () => {
      resolve({ port, release: () => release(), [Symbol.dispose]: () => release() });
    });
  });
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
