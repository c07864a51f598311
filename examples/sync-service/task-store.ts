/**
 * Tasks in etcd: waiting ones in the order in which they came, and what came of those that were carried out.
 */
import { randomUUID } from 'node:crypto';
import type { Etcd3 } from 'etcd3';
import type { Term } from 'etcd-election';

export interface Task {
  readonly id: string;
  readonly name: string;
  readonly payload: unknown;
}

export interface WaitingTask extends Task {
  /** The key's revision when it was read: it is carried out only if it is still that. */
  readonly revision: string;
}

export interface Outcome extends Task {
  readonly result: unknown;
  /** Fencing token of the term that carried it out. */
  readonly token: string;
  readonly by: string;
}

const AT_ONCE = 100;

export class TaskStore {
  readonly #client: Etcd3;
  readonly #waiting: string;
  readonly #done: string;

  constructor(client: Etcd3, keys: string) {
    this.#client = client;
    this.#waiting = `${keys}waiting/`;
    this.#done = `${keys}done/`;
  }

  /** Resolves once etcd has it: from then on it cannot be lost. */
  async add(name: string, payload: unknown): Promise<Task> {
    const task: Task = { id: randomUUID(), name, payload };
    // etcd3 repeats a write whose answer was lost; the same key and value twice is once. But a leader that was quick may
    // have carried it out in between: then it must not come back.
    const key = this.#waiting + task.id;
    await this.#client
      .if(this.#done + task.id, 'Create', '==', 0)
      .then(this.#client.put(key).value(JSON.stringify(task)))
      .commit();
    return task;
  }

  /** @returns whether there was one. A task that was carried out stays on record. */
  async remove(id: string): Promise<boolean> {
    const { deleted } = await this.#client
      .delete()
      .key(this.#waiting + id)
      .exec();
    return deleted !== '0';
  }

  /** The oldest ones first; at most a hundred. */
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
   * From waiting to done, in one transaction that commits only while the term leads and the task still waits: it
   * happens once, whoever else believes to lead.
   *
   * @returns false if it did not, because the task is no longer as it was.
   * @throws {LeadershipLostError} if the term is over.
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

  /** Calls back whenever a task came, until the signal aborts. It is a hint: ask `waiting()`. */
  async onArrival(listener: () => void, signal: AbortSignal): Promise<void> {
    const watcher = await this.#client.watch().prefix(this.#waiting).only('put').create();
    const stop = (): void => void watcher.cancel().catch(() => undefined); // the connection is gone: so is the watch
    if (signal.aborted) return stop();
    watcher.on('put', listener);
    signal.addEventListener('abort', stop, { once: true });
  }
}
