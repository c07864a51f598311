import { closeSync, openSync, readSync } from 'node:fs';

/** How much CPU the main thread has burnt, seen from a worker. */
export interface MainCpu {
  /** Milliseconds since it started; in steps of 10 ms on Linux. */
  readMs(): number;
  /** Whether it is the main thread alone; otherwise it is the process without this worker. */
  readonly isExact: boolean;
  close(): void;
}

/**
 * Linux tells each thread's CPU, and the main thread's ID is the process's. Elsewhere it is what the whole process
 * burnt, less this worker (known from Node 22.15 on): other busy workers then look like the main thread, which is why
 * the main thread must also fail to answer.
 */
export function mainCpu(): MainCpu {
  try {
    return linuxMainCpu();
  } catch {
    return processCpu();
  }
}

function linuxMainCpu(): MainCpu {
  const file = openSync(`/proc/self/task/${process.pid}/stat`, 'r'); // kept open: a look costs one read
  const buffer = Buffer.alloc(1024);
  const readMs = (): number => {
    const text = buffer.toString('latin1', 0, readSync(file, buffer, 0, buffer.length, 0));
    // The second field, the command, may hold blanks and brackets; utime and stime are the 14th and 15th.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * 10; // USER_HZ is 100 on every Linux
  };
  if (!Number.isFinite(readMs())) throw new Error('no CPU times in /proc');
  return { readMs, isExact: true, close: () => closeSync(file) };
}

function processCpu(): MainCpu {
  const { threadCpuUsage } = process as { threadCpuUsage?: () => NodeJS.CpuUsage };
  const readMs = (): number => {
    const all = process.cpuUsage();
    const own = threadCpuUsage?.call(process) ?? { user: 0, system: 0 };
    return (all.user + all.system - own.user - own.system) / 1000;
  };
  return { readMs, isExact: false, close: () => {} };
}
