/** Programs of this repository, compiled from source and run as processes, as users run them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterAll, onTestFinished } from 'vitest';
import { eventually } from './eventually.ts';

export const ROOT: string = fileURLToPath(new URL('../../', import.meta.url));

/** Compiled by the present test file. */
const folders: string[] = [];
afterAll(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/**
 * Compiles programs into a folder below node_modules, so that packages are found. The folder is deleted when the
 * test file ends.
 * @param entries paths from the root of the repository.
 * @returns the path of each compiled program, in their order.
 */
export async function compile(entries: readonly string[]): Promise<string[]> {
  const cache = join(ROOT, 'node_modules/.cache/etcd-election-programs');
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, 'run-'));
  folders.push(folder);
  await build({
    entryPoints: entries.map((entry) => join(ROOT, entry)),
    bundle: true,
    splitting: true, // lazy imports stay lazy
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    alias: Object.fromEntries(
      ['telemetry/prometheus', 'telemetry/opentelemetry', 'diagnostics/index', 'dev/index', 'index'].map(
        (path) => [
          `etcd-election${{ index: '' }[path] ?? `/${path.replace(/^telemetry\/|\/index$/g, '')}`}`,
          join(ROOT, `src/${path}.ts`),
        ],
      ),
    ),
    outdir: folder,
    outbase: ROOT,
    outExtension: { '.js': '.mjs' },
    logLevel: 'error',
  });
  return entries.map((entry) => join(folder, entry.replace(/\.ts$/, '.mjs')));
}

export interface ProgramOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: 'ignore' | 'pipe';
  /** Default: the Node that runs the tests. */
  readonly node?: string;
}

/** A running program. The end of its test kills it. */
export class Program {
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';
  readonly #ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;

  constructor(file: string, args: readonly string[], options: ProgramOptions = {}) {
    this.child = spawn(options.node ?? process.execPath, [file, ...args], {
      env: { ...process.env, NO_COLOR: '', ...options.env },
      stdio: [options.input ?? 'ignore', 'pipe', 'pipe'],
    });
    const read = (stream: Readable | null, to: 'stdout' | 'stderr'): void =>
      void stream?.setEncoding('utf8').on('data', (text: string) => (this[to] += text));
    read(this.child.stdout, 'stdout');
    read(this.child.stderr, 'stderr');
    this.#ended = once(this.child, 'close').then(([code, signal]) => ({
      code: code as number | null,
      signal: signal as NodeJS.Signals | null,
    }));
    onTestFinished(() => {
      if (!this.isOver) this.child.kill('SIGKILL');
    });
  }

  get pid(): number {
    return this.child.pid!;
  }

  get isOver(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** The exit code. A program that a signal kills makes this reject; no code is invented. */
  async exit(): Promise<number> {
    const { code, signal } = await this.#ended;
    if (code === null) throw new Error(`died of ${signal}; ${this.said}`);
    return code;
  }

  /** Waits for its end, of any kind. */
  async over(): Promise<void> {
    await this.#ended;
  }

  get said(): string {
    return `stdout:\n${this.stdout}\nstderr:\n${this.stderr}`;
  }

  /** Waits until it has printed the text, by default on standard output. */
  async says(
    pattern: RegExp,
    withinMs: number,
    where: 'stdout' | 'stderr' = 'stdout',
  ): Promise<RegExpExecArray> {
    return await eventually(
      () => {
        const found = pattern.exec(this[where]);
        if (found === null) throw new Error(`did not say ${String(pattern)}; ${this.said}`);
        return found;
      },
      { withinMs },
    );
  }
}

/** A process that has ended but whose exit code was not read is not alive. */
export function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
