/** What each life of a process cost: callbacks, connections, log lines. G5 bounds them. */
import type { SimulatedProcess } from '../process/process.ts';
import type { VirtualTime } from '../process/scheduler.ts';

/** An honest process of this kind runs some hundred; one that heals, some more. */
const CALLBACKS_A_SECOND = 3_000;

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

export class Vitals {
  readonly lives: Life[] = [];
  /** Processes that spin. */
  readonly busy: string[] = [];
  readonly #current = new Map<string, Life>();
  /** Of all processes, for the timeline. */
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

  /** Time is virtual, so a process that spins costs nothing but turns: they are counted instead. */
  #watch(process: SimulatedProcess, time: VirtualTime): void {
    let before = 0;
    const look = (): void => {
      if (!process.isAlive) return;
      const callbacks = process.loop.callbacks - before;
      before = process.loop.callbacks;
      if (callbacks > CALLBACKS_A_SECOND)
        this.busy.push(`${process.name} ran ${callbacks} callbacks in one second`);
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
    if (event === 'guard.recovered' || event === 'etcd.history-lost') return; // rare, and never left out
    this.#current.get(process)!.lines++;
  }
}
