/** All connections between processes and members of etcd. */
import type { Connection, ConnectionListener } from '../inside/host.ts';
import type { SimulatedProcess } from '../process/process.ts';
import { stream } from '../process/random.ts';
import type { VirtualTime } from '../process/scheduler.ts';
import { NetworkConnection } from './connection.ts';
import type { Endpoint } from './endpoint.ts';
import { Link } from './link.ts';
import type { Trace } from './trace.ts';

export class Network {
  readonly #time: VirtualTime;
  readonly #trace: Trace;
  readonly #seed: number;
  /** The endpoint of each address. */
  readonly #endpoints: ReadonlyMap<string, Endpoint>;
  readonly #links = new Map<string, Link>();
  readonly #connections = new Map<SimulatedProcess, Set<NetworkConnection>>();

  constructor(
    endpoints: ReadonlyMap<string, Endpoint>,
    tools: { readonly time: VirtualTime; readonly trace: Trace; readonly seed: number },
  ) {
    this.#endpoints = endpoints;
    this.#time = tools.time;
    this.#trace = tools.trace;
    this.#seed = tools.seed;
  }

  get addresses(): readonly string[] {
    return [...this.#endpoints.keys()];
  }

  link(process: string, address: string): Link {
    const key = `${process} ${address}`;
    let link = this.#links.get(key);
    if (link === undefined) {
      const endpoint = this.#endpoints.get(address)!;
      link = new Link({ process, address, endpoint }, this.#time, stream(this.#seed, `link ${key}`));
      this.#links.set(key, link);
    }
    return link;
  }

  linksOf(process: string): readonly Link[] {
    return this.addresses.map((address) => this.link(process, address));
  }

  linksTo(endpoint: Endpoint): readonly Link[] {
    return [...this.#links.values()].filter((link) => link.endpoint === endpoint);
  }

  connect(process: SimulatedProcess, address: string, to: ConnectionListener): Connection {
    let connections = this.#connections.get(process);
    if (connections === undefined) this.#connections.set(process, (connections = new Set()));
    const mine = connections;
    const connection: NetworkConnection = new NetworkConnection(this.link(process.name, address), to, {
      time: this.#time,
      trace: this.#trace,
      arrive: (run) => process.loop.arrived(run),
      processNowMs: () => process.loop.nowMs,
      ended: () => mine.delete(connection),
      called: () => process.calls++,
    });
    mine.add(connection);
    return connection;
  }

  /** The number of connections of a process, including those that it is still opening. */
  connectionsOf(process: SimulatedProcess): number {
    return this.#connections.get(process)?.size ?? 0;
  }

  /** The process is gone: its kernel ends its connections. */
  abandon(process: SimulatedProcess): void {
    for (const connection of this.#connections.get(process) ?? []) connection.close();
    this.#connections.delete(process);
  }
}
