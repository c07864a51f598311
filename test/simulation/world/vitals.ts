/** The costs of each life of a process: callbacks, calls to etcd, log lines, terms. G5 bounds them. */
import type { SimulatedProcess } from '../process/process.ts';
import type { VirtualTime } from '../process/scheduler.ts';

export interface LogLine {
  readonly level: string;
  readonly text: string;
  readonly fields: object;
  readonly atMs: number;
}

export interface Life {
  readonly process: string;
  readonly fromMs: number;
  toMs: number;
  /** Lines at level info and above. */
  lines: number;
}

/**
 * What one process may do in one second of true time. Time is virtual, so a spinning process costs only turns,
 * which are counted instead. An honest process of this kind reaches a tenth of this.
 */
const MOST_A_SECOND = { callbacks: 2_000, calls: 150, microtasks: 100_000 };

export class Vitals {
  readonly lives: Life[] = [];
  /** The most that one process did in one second. */
  readonly most = { callbacks: 0, calls: 0, microtasks: 0 };
  /** Processes that spin. */
  readonly busy: string[] = [];
  readonly #current = new Map<string, Life>();
  /** The lines of all processes, for the timeline. */
  readonly logs: (LogLine & { readonly process: string })[] = [];

  begin(process: SimulatedProcess, time: VirtualTime): void {
    const life: Life = {
      process: process.name,
      fromMs: time.now(),
      toMs: Number.POSITIVE_INFINITY,
      lines: 0,
    };
    this.lives.push(life);
    this.#current.set(process.name, life);
    this.#watch(process, time);
  }

  #watch(process: SimulatedProcess, time: VirtualTime): void {
    let before = { callbacks: 0, calls: 0, microtasks: 0 };
    const look = (): void => {
      if (!process.isAlive) return;
      const { calls, microtasks } = process;
      const now = { callbacks: process.loop.callbacks, calls, microtasks };
      for (const what of ['callbacks', 'calls', 'microtasks'] as const) {
        const count = now[what] - before[what];
        this.most[what] = Math.max(this.most[what], count);
        if (count > MOST_A_SECOND[what]) this.busy.push(`${process.name}: ${count} ${what} in one second`);
      }
      before = now;
      time.after(1_000, look);
    };
    time.after(1_000, look);
  }

  end(process: SimulatedProcess, atMs: number): void {
    this.#current.get(process.name)!.toMs = atMs;
  }

  log(process: string, line: LogLine): void {
    if (line.level === 'trace' || line.level === 'debug') return;
    this.logs.push({ process, ...line });
    const { event } = line.fields as { event?: string };
    if (event === 'guard.recovered' || event === 'etcd.history-lost') return; // rare, and never omitted
    this.#current.get(process)!.lines++;
  }
}
