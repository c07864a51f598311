/** The requests to etcd, and the processor time of a process. */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { messagesReceived } from '../guard/support/meter.ts';

/** Messages that etcd received during an action, by method: each unary call, and each message on a stream. */
export async function callsOf(
  endpoints: readonly string[],
  what: () => Promise<unknown>,
): Promise<Record<string, number>> {
  const before = await messagesReceived(endpoints);
  await what();
  const after = await messagesReceived(endpoints);
  return Object.fromEntries(
    [...after].flatMap(([method, count]) => {
      const more = count - (before.get(method) ?? 0);
      return more > 0 ? [[method, more]] : [];
    }),
  );
}

/** CPU time of all threads of a process so far, in milliseconds. The kernel counts in steps of 10. */
export async function cpuMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Percent of one core that each process uses in this time. */
export async function cpuPercent(pids: readonly number[], overMs: number): Promise<number[]> {
  const before = await Promise.all(pids.map(cpuMs));
  const sinceMs = performance.now();
  await sleep(overMs);
  const tookMs = performance.now() - sinceMs;
  const after = await Promise.all(pids.map(cpuMs));
  return after.map((ms, index) => (100 * (ms - before[index]!)) / tookMs);
}
