import { createServer, connect, type AddressInfo, type Socket } from 'node:net';

/** Forwards TCP to a target that can change: the address stays, and another server is behind it. */
export interface Switchboard extends AsyncDisposable {
  readonly endpoint: string;
  /** The number of connected clients. */
  readonly connected: number;
  /**
   * Sends new connections to another target, and closes the existing ones. Without a target, connections are
   * refused.
   */
  to(target: string | undefined): void;
  /** Sends new connections to another target, as a load balancer does. The existing ones stay. */
  next(target: string): void;
  /** From now on data from connected clients is discarded. */
  hold(): void;
}

export async function startSwitchboard(target: string): Promise<Switchboard> {
  let to: string | undefined = target;
  const held = new WeakSet<Socket>();
  const sockets = new Set<Socket>();
  const clients = new Set<Socket>();
  const server = createServer((socket) => {
    if (to === undefined) return void socket.destroy();
    const { hostname, port } = new URL(to);
    const other = connect(Number(port), hostname);
    clients.add(socket);
    socket.on('close', () => clients.delete(socket));
    for (const each of [socket, other]) {
      sockets.add(each);
      each.on('error', () => undefined);
      each.on('close', () => {
        sockets.delete(each);
        socket.destroy();
        other.destroy();
      });
    }
    socket.on('data', (data) => void (held.has(socket) || other.write(data)));
    other.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const drop = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get connected() {
      return clients.size;
    },
    to: (next) => {
      to = next;
      drop();
    },
    next: (next) => {
      to = next;
    },
    hold: () => {
      for (const socket of sockets) held.add(socket);
    },
    [Symbol.asyncDispose]: async () => {
      drop();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
