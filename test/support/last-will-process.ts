/** Starts last-will-child.ts, kills it, and finds its helper among the processes of this machine. */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { eventually } from './eventually.ts';
import type { ChildOrder, ChildPlan } from './last-will-child.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const SOON_MS = 10_000;

/** @returns a module that `node` can run, minified on request: the helper must work in both. */
export async function buildChild(entry: string, minify = false): Promise<string> {
  const name = entry.replace(/^.*\/|\.ts$/g, '');
  const outfile = join(
    ROOT,
    'node_modules/.cache/etcd-election-last-will',
    `${process.pid}-${name}${minify ? '-min' : ''}.mjs`,
  );
  await build({
    entryPoints: [join(ROOT, entry)],
    outfile,
    bundle: true,
    minify,
    keepNames: minify,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    alias: { 'etcd-election': join(ROOT, 'src/index.ts') },
    logLevel: 'error',
  });
  return outfile;
}

interface Said {
  readonly leads?: { readonly leaseId: string; readonly fencingToken: string };
  readonly follows?: true;
  readonly warned?: string;
  readonly closed?: true;
  readonly blocked?: number;
}

/** A cold start of a process on a busy machine, in milliseconds. */
const STARTED_MS = 20_000;

export class DoomedReplica implements AsyncDisposable {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #said: Said[] = [];
  readonly #exited: Promise<unknown>;
  readonly #helpers = new Set<number>();

  constructor(program: string, plan?: ChildPlan) {
    this.#process = spawn(process.execPath, [program], {
      stdio: ['pipe', 'pipe', 'inherit'],
      detached: true, // its own process group, as under a service manager
    });
    this.#exited = once(this.#process, 'exit');
    createInterface(this.#process.stdout).on('line', (line) => this.#said.push(JSON.parse(line) as Said));
    this.#process.stdin.on('error', () => undefined);
    if (plan !== undefined) this.#process.stdin.write(`${JSON.stringify(plan)}\n`);
  }

  get pid(): number {
    return this.#process.pid!;
  }

  order(order: ChildOrder): void {
    this.#process.stdin.write(`${JSON.stringify(order)}\n`);
  }

  /** @param signal to the process, or to its whole group. */
  signal(signal: NodeJS.Signals, to: 'process' | 'group' = 'process'): void {
    process.kill(to === 'group' ? -this.pid : this.pid, signal);
  }

  async exited(): Promise<void> {
    await this.#exited;
  }

  /** All its messages of this kind. */
  all<K extends keyof Said>(kind: K): NonNullable<Said[K]>[] {
    return this.#said.flatMap((said) => (said[kind] === undefined ? [] : [said[kind]]));
  }

  async said<K extends keyof Said>(kind: K, count = 1): Promise<NonNullable<Said[K]>> {
    return await eventually(
      () => {
        const found = this.all(kind);
        if (found.length < count) throw new Error(`said ${JSON.stringify(this.#said)}, not ${kind}`);
        return found.at(-1)!;
      },
      { withinMs: STARTED_MS },
    );
  }

  /** The process ID of its present helper, once that waits for the end. */
  async helper(): Promise<number> {
    const pid = await eventually(
      () => {
        const [found] = childrenOf(this.pid);
        if (found === undefined) throw new Error('no helper');
        if (!statusOf(found).includes('etcd-election l'))
          throw new Error('the helper is still on its way up');
        return found;
      },
      { withinMs: STARTED_MS },
    );
    this.#helpers.add(pid);
    return pid;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pid of childrenOf(this.pid)) this.#helpers.add(pid);
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      this.#process.kill('SIGKILL');
      await this.#exited;
    }
    for (const pid of this.#helpers) await eventually(() => !isRunning(pid), { withinMs: 3 * SOON_MS });
  }
}

/** Process IDs. */
export function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((each) => new RegExp(`^PPid:\\s+${pid}$`, 'm').test(statusOf(each)));
}

/** Neither gone nor a zombie whose exit code was not read. */
export const isRunning = (pid: number): boolean => /^State:\s+[^ZX]/m.test(statusOf(pid));

/** Empty if the process does not exist. */
export function statusOf(pid: number): string {
  return procFile(pid, 'status');
}

export function procFile(pid: number, name: 'status' | 'cmdline' | 'environ' | 'stat'): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return '';
  }
}
