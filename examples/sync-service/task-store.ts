/** The tasks in etcd: waiting tasks in order of arrival, and the results of finished tasks. */
import { randomUUID } from 'node:crypto';
import type { Etcd3 } from 'etcd3';
import type { Term } from 'etcd-election';

export interface Task {
  readonly id: string;
  readonly name: string;
  readonly payload: unknown;
}

export interface WaitingTask extends Task {
  /** Revision of the key when it was read. `finish` writes only if the key still has this revision. */
  readonly revision: string;
}

export interface Outcome extends Task {
  readonly result: unknown;
  /** Fencing token of the term that finished the task. */
  readonly token: string;
  readonly by: string;
}

const AT_ONCE = 100;

export class TaskStore {
  readonly #client: Etcd3;
  readonly #waiting: string;
  readonly #done: string;
  /** Prefix of the keys that mark removed tasks. */
  readonly #removed: string;

  constructor(client: Etcd3, keys: string) {
    this.#client = client;
    this.#waiting = `${keys}waiting/`;
    this.#done = `${keys}done/`;
    this.#removed = `${keys}removed/`;
  }

  /** Stores a new task. Resolves when etcd has it. */
  async add(name: string, payload: unknown): Promise<Task> {
    const task: Task = { id: randomUUID(), name, payload };
    // etcd3 repeats a write whose answer was lost. By then the task may be finished or removed, and the second write must not
    // bring the task back.
    const key = this.#waiting + task.id;
    await this.#client
      .if(this.#done + task.id, 'Create', '==', 0)
      .and(this.#removed + task.id, 'Create', '==', 0)
      .then(this.#client.put(key).value(JSON.stringify(task)))
      .commit();
    return task;
  }

  /** Removes a waiting task, never a finished one. @returns whether the task was waiting. */
  async remove(id: string): Promise<boolean> {
    const { succeeded } = await this.#client
      .if(this.#waiting + id, 'Create', '!=', 0)
      .then(this.#client.delete().key(this.#waiting + id), this.#client.put(this.#removed + id).value(''))
      .commit();
    return succeeded;
  }

  /** Returns at most a hundred waiting tasks, the oldest first. */
  async waiting(): Promise<WaitingTask[]> {
    const range = this.#client.getAll().prefix(this.#waiting).sort('Create', 'Ascend').limit(AT_ONCE);
    const { kvs } = await range.exec();
    return kvs.map(({ value, mod_revision }) => ({
      ...(JSON.parse(value.toString()) as Task),
      revision: mod_revision,
    }));
  }

  async done(): Promise<Outcome[]> {
    const { kvs } = await this.#client
      .getAll()
      .prefix(this.#done)
      .sort('Mod', 'Descend')
      .limit(AT_ONCE)
      .exec();
    return kvs.map(({ value }) => JSON.parse(value.toString()) as Outcome);
  }

  /**
   * Moves a task from waiting to done in one transaction. The transaction commits only if the key of the term exists and the
   * task is unchanged. So no task is finished twice.
   * @returns false if the task has changed.
   * @throws {LeadershipLostError} after the term.
   */
  async finish(term: Term, { revision, ...task }: WaitingTask, result: unknown): Promise<boolean> {
    const outcome: Outcome = { ...task, result, token: term.fencingToken.toString(), by: term.value };
    const { succeeded } = await term
      .txn()
      .and(this.#waiting + task.id, 'Mod', '==', revision)
      .then(
        this.#client.delete().key(this.#waiting + task.id),
        this.#client.put(this.#done + task.id).value(JSON.stringify(outcome)),
      )
      .commit();
    return succeeded;
  }

  /** Calls the listener when a task arrives, until the signal aborts. The watch may miss a task: also read `waiting()` now and then. */
  async onArrival(listener: () => void, signal: AbortSignal): Promise<void> {
    const watcher = await this.#client.watch().prefix(this.#waiting).only('put').create();
    const stop = (): void => void watcher.cancel().catch(() => undefined); // rejects without a connection
    if (signal.aborted) return stop();
    watcher.on('put', listener);
    signal.addEventListener('abort', stop, { once: true });
  }
}
