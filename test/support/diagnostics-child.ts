import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import type { RunawayReport } from '../../src/diagnostics/evidence/report.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const CHILD = fileURLToPath(new URL('./runaway-child.mjs', import.meta.url));
const FETCH = relative(ROOT, fileURLToPath(new URL('./fetch-node-24.mjs', import.meta.url)));
/** Under node_modules, so that the bundle finds the packages that it imports. */
const BUILT = join(ROOT, 'node_modules/.cache/etcd-election-tests');

/** The path to which that script installs it; OTHER_NODE names another one. */
const OTHER_NODE = process.env['OTHER_NODE'] ?? join(ROOT, 'node_modules/.cache/node-24/package/bin/node');

/** The versions of Node to test on: this one, and Node 24 if it was fetched. */
export const nodes: readonly { readonly name: string; readonly path: string; readonly missing: boolean }[] = [
  { name: `this Node, ${process.version}`, path: process.execPath, missing: false },
  existsSync(OTHER_NODE)
    ? { name: 'Node 24', path: OTHER_NODE, missing: false }
    : {
        name: `Node 24: SKIPPED, fetch it with node ${FETCH}`,
        path: '',
        missing: true,
      },
];

/**
 * Bundles `etcd-election/diagnostics` from source.
 * @returns the address to import.
 */
export async function buildDiagnostics(
  options: { minify?: boolean; format?: 'esm' | 'cjs' } = {},
): Promise<string> {
  const { minify = false, format = 'esm' } = options;
  const outfile = join(
    BUILT,
    `diagnostics-${process.pid}${minify ? '-min' : ''}.${format === 'esm' ? 'mjs' : 'cjs'}`,
  );
  await build({
    entryPoints: [join(ROOT, 'src/diagnostics/index.ts')],
    bundle: true,
    platform: 'node',
    target: 'node20',
    packages: 'external',
    logLevel: 'error',
    minify,
    format,
    outfile,
  });
  return pathToFileURL(outfile).href;
}

/** The line of `runaway-child.mjs` that a kind of loop spends its time on. */
export function guiltyLine(kind: string): number {
  const lines = readFileSync(CHILD, 'utf8').split('\n');
  const index = lines.findIndex((line) => line.endsWith(`// guilty: ${kind}`));
  if (index === -1) throw new Error(`no line is guilty of ${kind}`);
  return index + 1;
}

/** The report in the evidence folder that a line on stderr names. */
export function reportOf(line: string): RunawayReport {
  const [, directory] = /evidence in ([^;\n]+)/.exec(line) ?? [];
  if (directory === undefined) throw new Error(`no evidence: ${line}`);
  return JSON.parse(readFileSync(join(directory, 'report.json'), 'utf8')) as RunawayReport;
}

export interface ChildOptions {
  readonly module: string;
  readonly kind: string;
  readonly node?: string;
  readonly execArgv?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly options?: Readonly<Record<string, unknown>>;
}

type Said = {
  ready?: true;
  url?: string;
  notes?: string[];
  began?: number;
  done?: string;
  runaway?: RunawayReport;
  notice?: RunawayReport;
  steppedDown?: string;
  died?: { reason: string; restartInMs: number };
  restarted?: object;
};

/** A service that runs away on request. Disposal kills its process and removes its evidence. */
export class RunawayChild implements AsyncDisposable {
  readonly directory: string;
  readonly process: ChildProcessWithoutNullStreams;
  stderr = '';
  readonly #said: Said[] = [];
  readonly #heard = new Set<() => void>();
  readonly #exited: Promise<unknown>;

  private constructor(
    directory: string,
    { module, kind, node = process.execPath, execArgv = [], env = {}, options }: ChildOptions,
  ) {
    this.directory = directory;
    const { NODE_OPTIONS: _options, NODE_V8_COVERAGE: _coverage, ...inherited } = process.env;
    this.process = spawn(
      node,
      [...execArgv, CHILD, kind, JSON.stringify({ startupGraceMs: 0, directory, ...options })],
      {
        env: { ...inherited, ...env, DIAGNOSTICS: module },
      },
    );
    this.#exited = once(this.process, 'exit');
    this.process.stderr.on('data', (data: Buffer) => {
      this.stderr += data.toString();
      this.#wake();
    });
    createInterface(this.process.stdout).on('line', (line) => {
      this.#said.push(JSON.parse(line) as Said);
      this.#wake();
    });
    this.process.on('exit', () => this.#wake());
  }

  /** Starts it, watched, and waiting for a request. */
  static async start(options: ChildOptions): Promise<RunawayChild> {
    const child = new RunawayChild(await mkdtemp(join(tmpdir(), 'runaway-')), options);
    await child.said((each) => each.ready);
    return child;
  }

  /**
   * Makes it run away.
   * @returns when it began, in milliseconds since 1970.
   */
  async begin(): Promise<number> {
    this.process.stdin.write('now\n');
    return this.said((each) => each.began);
  }

  /** Its messages so far. */
  heard<T>(pick: (said: Said) => T | undefined): T[] {
    return this.#said.map(pick).filter((found) => found !== undefined);
  }

  /** Waits for a message, for a limited time. */
  said<T>(pick: (said: Said) => T | undefined, withinMs = 20_000): Promise<T> {
    return this.#until(() => this.#said.map(pick).find((found) => found !== undefined), withinMs);
  }

  /** Waits for the line about a runaway on its stderr. */
  headline(withinMs: number): Promise<string> {
    return this.#until(() => /^.*\[etcd-election\] runaway.*$/m.exec(this.stderr)?.[0], withinMs);
  }

  /** Waits until it has printed the text on its stderr. */
  tells(pattern: RegExp, withinMs = 5_000): Promise<RegExpExecArray> {
    return this.#until(() => pattern.exec(this.stderr) ?? undefined, withinMs);
  }

  exited(withinMs: number): Promise<{ code: number | null; signal: string | null }> {
    const { process: child } = this;
    return this.#until(
      () =>
        child.exitCode !== null || child.signalCode !== null
          ? { code: child.exitCode, signal: child.signalCode }
          : undefined,
      withinMs,
    );
  }

  #until<T>(find: () => T | undefined, withinMs: number): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = (settled: () => void): void => {
        clearTimeout(limit);
        this.#heard.delete(look);
        settled();
      };
      const look = (): void => {
        const found = find();
        if (found !== undefined) settle(() => resolve(found));
      };
      const limit = setTimeout(() => {
        const { exitCode, signalCode } = this.process;
        const state = `exit ${exitCode} ${signalCode}; said ${JSON.stringify(this.#said)}; stderr ${this.stderr}`;
        settle(() => reject(new Error(`nothing of that within ${withinMs} ms; ${state}`)));
      }, withinMs);
      this.#heard.add(look);
      look();
    });
  }

  #wake(): void {
    for (const look of this.#heard) look();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      this.process.kill('SIGKILL');
      await this.#exited;
    }
    await rm(this.directory, { recursive: true, force: true });
  }
}
