/**
 * The part inside the measured process: it counts what only the process can count, and reports it to the
 * measuring process.
 */
import diagnosticsChannel from 'node:diagnostics_channel';
import type { Socket } from 'node:net';

/** Counters of the process so far. */
export interface Told {
  readonly rounds: number;
  /** Started TCP connections, including refused ones. */
  readonly dials: number;
  /** By port of the endpoint. 0 stands for connections that never reached a port. */
  readonly dialsByPort: Readonly<Record<number, number>>;
}

const dialsByPort: Record<number, number> = {};
let dials = 0;
let rounds = 0;

diagnosticsChannel.subscribe('net.client.socket', (message) => {
  const { socket } = message as { socket: Socket };
  dials++;
  let counted = false;
  const count = (port: number | undefined): void => {
    if (counted) return;
    counted = true;
    dialsByPort[port ?? 0] = (dialsByPort[port ?? 0] ?? 0) + 1;
  };
  socket.once('connect', () => count(socket.remotePort));
  socket.once('error', (error: NodeJS.ErrnoException & { port?: number }) => count(error.port));
});

/** Counts one more round of the loop. */
export function countRound(): void {
  rounds++;
}

export const told = (): Told => ({ rounds, dials, dialsByPort });

/** Sends the counters now and at this interval, as long as the event loop turns. */
export function tellEvery(ms: number): void {
  process.send?.(told());
  setInterval(() => process.send?.(told()), ms).unref();
}
