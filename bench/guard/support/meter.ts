/** What a process and an etcd have done, measured from outside: a process that spins cannot answer. */
import { readdir, readFile, readlink } from 'node:fs/promises';

/** Linux counts CPU time in ticks of 10 ms. */
const TICK_MS = 10;

export interface ProcessReading {
  readonly atMs: number;
  /** CPU time of all its threads, in milliseconds. */
  readonly cpuMs: number;
  readonly residentBytes: number;
  readonly openFiles: number;
}

/** @throws {Error} if the process has ended. */
export async function readProcess(pid: number): Promise<ProcessReading> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [ticks, pages] = [Number(fields[11]) + Number(fields[12]), Number(fields[21])];
  const files = await readdir(`/proc/${pid}/fd`);
  return {
    atMs: performance.now(),
    cpuMs: ticks * TICK_MS,
    residentBytes: pages * 4096,
    openFiles: files.length,
  };
}

/** Per cent of one core between two readings. */
export const cpuPercent = (from: ProcessReading, to: ProcessReading): number =>
  (100 * (to.cpuMs - from.cpuMs)) / (to.atMs - from.atMs);

/** All TCP connections of a process. */
export async function tcpConnections(pid: number): Promise<number> {
  const established = new Set<string>();
  for (const table of ['tcp', 'tcp6']) {
    const lines = (await readFile(`/proc/net/${table}`, 'utf8')).split('\n').slice(1);
    for (const line of lines) {
      const [, , , state, , , , , , inode] = line.trim().split(/\s+/);
      if (state === '01' && inode !== undefined) established.add(inode);
    }
  }
  let count = 0;
  for (const file of await readdir(`/proc/${pid}/fd`)) {
    const target = await readlink(`/proc/${pid}/fd/${file}`).catch(() => '');
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    if (inode !== undefined && established.has(inode)) count++;
  }
  return count;
}

/** The gRPC calls that etcd has begun to serve since its start, by method. A stream counts once. */
export async function callsServed(endpoints: readonly string[]): Promise<Map<string, number>> {
  return await summed(endpoints, 'grpc_server_started_total');
}

/** The messages that etcd has received, by method: each unary call, and each message on a stream. */
export async function messagesReceived(endpoints: readonly string[]): Promise<Map<string, number>> {
  return await summed(endpoints, 'grpc_server_msg_received_total');
}

/** How often etcd has reported a changed key to a watch. */
export const told = (endpoint: string): Promise<number> =>
  single(endpoint, 'etcd_debugging_mvcc_events_total');

/** How many bytes etcd has sent to its clients. */
export const bytesSent = (endpoint: string): Promise<number> =>
  single(endpoint, 'etcd_network_client_grpc_sent_bytes_total');

async function single(endpoint: string, name: string): Promise<number> {
  const answer = await fetch(`${endpoint}/metrics`, { headers: { connection: 'close' } });
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(await answer.text())?.[1] ?? 0);
}

async function summed(endpoints: readonly string[], name: string): Promise<Map<string, number>> {
  const byMethod = new Map<string, number>();
  for (const endpoint of endpoints) {
    const answer = await fetch(`${endpoint}/metrics`, {
      headers: { connection: 'close' },
      signal: AbortSignal.timeout(5_000),
    });
    const text = await answer.text();
    for (const [, labels = '', value] of text.matchAll(new RegExp(`^${name}\\{([^}]*)\\} (\\S+)$`, 'gm'))) {
      const method = /grpc_method="([^"]*)"/.exec(labels)?.[1] ?? '';
      byMethod.set(method, (byMethod.get(method) ?? 0) + Number(value));
    }
  }
  return byMethod;
}

/** The sum over all methods, without the calls of the measuring process. */
export function total(byMethod: ReadonlyMap<string, number>, except: readonly string[] = []): number {
  let sum = 0;
  for (const [method, count] of byMethod) if (!except.includes(method)) sum += count;
  return sum;
}
