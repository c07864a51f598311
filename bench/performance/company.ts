/** Starts the processes of a benchmark, sends their orders, and receives their events. */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

export interface Stand {
  /** The library of the election: this one, another build of it (see `load`), or the etcd3 package. */
  readonly by: 'ours' | 'before' | 'etcd3';
  /** Names the candidate in the messages of its process. */
  readonly id: string;
  readonly client: string;
  readonly prefix: string;
  readonly election: string;
  readonly value: string;
  readonly ttlSeconds: number;
  readonly lastWill?: boolean;
  /** Required if `client` is not connected yet. */
  readonly hosts?: readonly string[];
}

export type Order =
  | { do: 'connect'; client: string; hosts: readonly string[] }
  /** Loads another build of this library from its `dist` folder. */
  | { do: 'load'; folder: string }
  | { do: 'stand'; stands: readonly Stand[] }
  | { do: 'resign'; id: string }
  | { do: 'watch'; client: string; prefix: string; silent?: boolean }
  | { do: 'put' | 'delete' | 'delete-if'; client: string; key: string }
  | { do: 'create-many'; client: string; prefix: string; count: number; atOnce: number }
  | { do: 'lead-many'; client: string; prefix: string; count: number; ttlSeconds: number }
  | { do: 'leading' }
  | { do: 'usage' }
  | { do: 'close' };

export interface Answer {
  readonly atMs: number;
  readonly ms: number;
  readonly leading: number;
  readonly heapBytes: number;
  readonly residentBytes: number;
  readonly externalBytes: number;
  readonly cpuMs: number;
  readonly dials: number;
}

interface Said extends Partial<Answer> {
  readonly number?: number;
  readonly error?: string;
  readonly failed?: string;
  readonly led?: string;
  readonly queued?: string;
  readonly deleted?: string;
}

type Kind = 'led' | 'queued' | 'deleted';

const PATIENCE_MS = 180_000;

export class Actor implements AsyncDisposable {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #answers = new Map<number, (said: Said) => void>();
  readonly #heard = new Map<string, number>();
  readonly #waiting = new Map<string, (atMs: number) => void>();
  #number = 0;

  constructor(command: string = process.execPath, args: readonly string[] = nodeArgs()) {
    this.#process = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#process.stdin.on('error', () => undefined);
    this.#process.once('exit', () => {
      for (const answer of this.#answers.values()) answer({ error: 'the process has ended' });
    });
    createInterface(this.#process.stdout).on('line', (line) => this.#hear(JSON.parse(line) as Said));
  }

  get pid(): number {
    return this.#process.pid!;
  }

  async tell(order: Order): Promise<Answer> {
    const number = ++this.#number;
    const answered = new Promise<Said>((resolve) => this.#answers.set(number, resolve));
    this.#process.stdin.write(`${JSON.stringify({ number, ...order })}\n`);
    const said = await limited(answered, order.do);
    if (said.error !== undefined) throw new Error(`${order.do}: ${said.error}`);
    return said as Answer;
  }

  /** The time of this event, on the clock that all processes share. Waits for the event. */
  async when(kind: Kind, id: string): Promise<number> {
    const name = `${kind} ${id}`;
    const heard = this.#heard.get(name);
    if (heard !== undefined) return heard;
    return await limited(new Promise<number>((resolve) => this.#waiting.set(name, resolve)), name);
  }

  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill('SIGKILL');
    await once(this.#process, 'exit');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  #hear(said: Said): void {
    if (said.failed !== undefined) console.error(`process ${this.pid}: ${said.failed}`);
    if (said.number !== undefined) {
      this.#answers.get(said.number)?.(said);
      this.#answers.delete(said.number);
      return;
    }
    for (const kind of ['led', 'queued', 'deleted'] as const) {
      if (said[kind] === undefined) continue;
      const name = `${kind} ${said[kind]}`;
      this.#heard.set(name, said.atMs ?? 0);
      this.#waiting.get(name)?.(said.atMs ?? 0);
      this.#waiting.delete(name);
    }
  }
}

const nodeArgs = (): string[] => ['--expose-gc', fileURLToPath(new URL('actor.mjs', import.meta.url))];

async function limited<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${PATIENCE_MS} ms`)), PATIENCE_MS);
  });
  return await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
