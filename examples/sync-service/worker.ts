/** The leader's work: executes waiting tasks one after another until its term ends. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ElectionError, type Term } from 'etcd-election';
import type { TaskStore, WaitingTask } from './task-store.ts';

/** The watch may miss a task, so the worker also reads the tasks at this interval. */
const LOOK_EVERY_MS = 2_000;
const RETRY_AFTER_MS = 500;

export async function carryOutTasks(term: Term, tasks: TaskStore): Promise<void> {
  const bell = new Bell();
  tasks.onArrival(() => bell.ring(), term.signal).catch(() => undefined); // if the watch fails, the reads at the interval are enough
  while (term.isCurrent()) {
    try {
      const waiting = await tasks.waiting();
      for (const task of waiting) {
        if (!term.isCurrent()) return;
        term.heartbeat();
        await tasks.finish(term, task, await carryOut(task, term.signal));
      }
      if (waiting.length === 0) await bell.rung(LOOK_EVERY_MS, term.signal);
    } catch (error) {
      if (!term.isCurrent()) return;
      // etcd did not answer. A second try is safe, because finish() compares the revision of the task.
      if (!(error instanceof ElectionError)) console.error(`looking again: ${String(error)}`);
      await pause(RETRY_AFTER_MS, term.signal);
    }
  }
}

/**
 * The work for one task. It may run twice for a task, because the process can be killed before `finish`. So a second run must
 * do no harm, or the resources must check `term.fencingToken`: see examples/postgres and examples/http-fencing.
 */
async function carryOut(task: WaitingTask, signal: AbortSignal): Promise<unknown> {
  await pause(5, signal);
  return { synced: task.name };
}

/** A bell that wakes the task loop from its wait. If it rings while the loop does not wait, the next wait ends at once. */
class Bell {
  #rung = false;
  #wake: () => void = () => undefined;

  ring(): void {
    this.#rung = true;
    this.#wake();
  }

  async rung(withinMs: number, signal: AbortSignal): Promise<void> {
    if (!this.#rung) {
      const heard = new AbortController();
      this.#wake = () => heard.abort();
      await pause(withinMs, AbortSignal.any([heard.signal, signal]));
    }
    this.#rung = false;
  }
}

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  sleep(ms, undefined, { signal }).catch(() => undefined);
