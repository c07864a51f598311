/** A machine that was suspended, as one process sees it: its monotonic clock stood still meanwhile. */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const SOURCE = new URL('suspended-clock.c', import.meta.url).pathname;

/** A C compiler that finds the C library's headers; undefined without one, or outside Linux. */
export const cCompiler: string | undefined = [process.env['CC'], 'cc', 'gcc', 'clang']
  .filter((name) => name !== undefined)
  .find((name) => {
    if (process.platform !== 'linux') return false;
    try {
      const input = '#include <sys/mman.h>\n';
      execFileSync(name, ['-x', 'c', '-fsyntax-only', '-'], { input, stdio: ['pipe', 'ignore', 'ignore'] });
      return true;
    } catch {
      return false;
    }
  });

/** Makes the monotonic clocks of processes stand still. */
export class SuspendedClocks implements AsyncDisposable {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** @param compiler {@link cCompiler}. */
  static async compile(compiler: string): Promise<SuspendedClocks> {
    const clocks = new SuspendedClocks(await mkdtemp(join(tmpdir(), 'etcd-election-suspended-')));
    const flags = ['-shared', '-fPIC', '-O2', '-Wall', '-Wextra', '-Werror'];
    await promisify(execFile)(compiler, [...flags, '-o', clocks.#library, SOURCE]);
    return clocks;
  }

  get #library(): string {
    return join(this.#folder, 'suspended-clock.so');
  }

  /** Environment of the processes. Their clocks are correct until {@link stoodStill}. */
  get env(): NodeJS.ProcessEnv {
    return { LD_PRELOAD: this.#library, SUSPENDED_CLOCK_FOLDER: this.#folder };
  }

  /** From now on the process's monotonic clock is this far behind the machine's. */
  async stoodStill(pid: number, ms: number): Promise<void> {
    const path = join(this.#folder, `${pid}`);
    if (!existsSync(path)) throw new Error(`process ${pid} does not run under ${SOURCE}`);
    const file = await open(path, 'r+');
    await file.write(new BigInt64Array([BigInt(Math.floor(ms * 1e6))]));
    await file.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** Whether a SIGSTOP has arrived. */
export async function isStopped(pid: number): Promise<boolean> {
  return /^\d+ \(.*\) T/s.test(await readFile(`/proc/${pid}/stat`, 'utf8'));
}
