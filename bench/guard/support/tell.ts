/**
 * The measured side's part: what only the process itself can count, told to whoever measures.
 */
import diagnosticsChannel from 'node:diagnostics_channel';
import type { Socket } from 'node:net';

/** Counters of the process so far. */
export interface Told {
  readonly rounds: number;
  /** TCP connections begun, refused ones included. */
  readonly dials: number;
  /** By port: of the endpoint, not ours. Where it never got as far as a port, under 0. */
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

/** The loop at hand goes round once more. */
export function countRound(): void {
  rounds++;
}

export const told = (): Told => ({ rounds, dials, dialsByPort });

/** Tells the counters now and each so many milliseconds, as long as the event loop turns. */
export function tellEvery(ms: number): void {
  process.send?.(told());
  setInterval(() => process.send?.(told()), ms).unref();
}
