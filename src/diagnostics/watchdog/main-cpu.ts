import { closeSync, openSync, readSync } from 'node:fs';

/** CPU time of the main thread since its start, in milliseconds. */
export interface CpuTimes {
  readonly burntMs: number;
  /** CPU time plus the time in which the thread waited for a CPU, if that time is known. */
  readonly wantedMs: number;
}

export interface MainCpu {
  read(): CpuTimes;
  close(): void;
}

/**
 * Measures the CPU time of the main thread from a worker. Linux shows the time of every thread. Elsewhere we take the time
 * of the whole process, less the time of this worker (known from Node 22.15 on). That figure includes other workers, which may
 * be busy. So CPU time alone never proves a runaway.
 */
export function mainCpu(): MainCpu {
  for (const source of [scheduled, accounted]) {
    try {
      return source();
    } catch {
      // Not Linux, or the kernel lacks the file, or the permission model forbids reading it.
    }
  }
  return { read: processCpu, close: () => {} };
}

/** The file has the nanoseconds on a CPU, and the nanoseconds of waiting for a CPU. */
const scheduled = (): MainCpu =>
  fromFile('schedstat', (text) => {
    const [burnt = NaN, waited = NaN] = text.split(' ').map(Number);
    return { burntMs: burnt / 1e6, wantedMs: (burnt + waited) / 1e6 };
  });

/** Fields 14 and 15 are in hundredths of a second on every Linux. Field 2, the command, may contain spaces. */
const accounted = (): MainCpu =>
  fromFile('stat', (text) => {
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const burntMs = (Number(fields[11]) + Number(fields[12])) * 10;
    return { burntMs, wantedMs: burntMs };
  });

function fromFile(name: string, parse: (text: string) => CpuTimes): MainCpu {
  // The ID of the main thread is the process ID. The file stays open, so that a check costs one read.
  const file = openSync(`/proc/self/task/${process.pid}/${name}`, 'r');
  const buffer = Buffer.alloc(1024);
  const read = (): CpuTimes =>
    parse(buffer.toString('latin1', 0, readSync(file, buffer, 0, buffer.length, 0)));
  const { wantedMs } = read();
  if (!(wantedMs > 0)) throw new Error(`no CPU times in ${name}`);
  return { read, close: () => closeSync(file) };
}

function processCpu(): CpuTimes {
  const { threadCpuUsage } = process as { threadCpuUsage?: () => NodeJS.CpuUsage };
  const all = process.cpuUsage();
  const own = threadCpuUsage?.call(process) ?? { user: 0, system: 0 };
  const burntMs = (all.user + all.system - own.user - own.system) / 1000;
  return { burntMs, wantedMs: burntMs };
}
