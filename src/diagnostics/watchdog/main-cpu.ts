import { closeSync, openSync, readSync } from 'node:fs';

/** CPU time of the main thread since its start, in milliseconds. */
export interface CpuTimes {
  readonly burntMs: number;
  /** CPU time plus the time in which the thread waited for a CPU; without the latter if that is unknown. */
  readonly wantedMs: number;
}

export interface MainCpu {
  read(): CpuTimes;
  close(): void;
}

/**
 * How much CPU the main thread has burnt, seen from a worker. Linux tells it of each thread, and the main thread's ID is
 * the process's. Elsewhere it is what the whole process burnt, less this worker (known from Node 22.15 on): other busy
 * workers then look like the main thread, which is why the main thread must also fail to answer.
 */
export function mainCpu(): MainCpu {
  for (const source of [scheduled, accounted]) {
    try {
      return source();
    } catch {
      // Not Linux, a kernel without it, or a permission model that does not let us read.
    }
  }
  return { read: processCpu, close: () => {} };
}

/** Nanoseconds on a CPU, and nanoseconds waiting for one. */
const scheduled = (): MainCpu =>
  fromFile('schedstat', (text) => {
    const [burnt = NaN, waited = NaN] = text.split(' ').map(Number);
    return { burntMs: burnt / 1e6, wantedMs: (burnt + waited) / 1e6 };
  });

/** The 14th and 15th field, in hundredths of a second on every Linux. The second, the command, may hold blanks. */
const accounted = (): MainCpu =>
  fromFile('stat', (text) => {
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const burntMs = (Number(fields[11]) + Number(fields[12])) * 10;
    return { burntMs, wantedMs: burntMs };
  });

function fromFile(name: string, parse: (text: string) => CpuTimes): MainCpu {
  const file = openSync(`/proc/self/task/${process.pid}/${name}`, 'r'); // kept open: a look costs one read
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
