/**
 * The leader's work: carries out the tasks that wait, one after another, until its term ends.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ElectionError, type Term } from 'etcd-election';
import type { TaskStore, WaitingTask } from './task-store.ts';

/** Even without a hint we look, in case one was lost. */
const LOOK_EVERY_MS = 2_000;
const RETRY_AFTER_MS = 500;

export async function carryOutTasks(term: Term, tasks: TaskStore): Promise<void> {
  const bell = new Bell();
  tasks.onArrival(() => bell.ring(), term.signal).catch(() => undefined); // no hints: we look often enough
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
      // Not reached, or not answered. finish() compares the task's revision, so a second try cannot happen twice.
      if (!(error instanceof ElectionError)) console.error(`looking again: ${String(error)}`);
      await pause(RETRY_AFTER_MS, term.signal);
    }
  }
}

/**
 * The sync itself: yours. What it does outside etcd may happen twice (we can be killed before `finish`), so it is made
 * to stand that, or hands `term.fencingToken` to whatever it writes to: see examples/postgres and examples/http-fencing.
 */
async function carryOut(task: WaitingTask, signal: AbortSignal): Promise<unknown> {
  await pause(5, signal);
  return { synced: task.name };
}

/** Wakes whoever waits; a ring that nobody waits for is kept. */
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
