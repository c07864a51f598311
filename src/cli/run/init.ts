/**
 * Reaps orphaned processes if this is process 1 of a container. Process 1 inherits all orphans, but Node waits only for
 * its own children. So a shell becomes process 1, and starts Node anew. The shell waits for all its children, passes
 * signals on, and ends with our exit code.
 *
 * Node 22.15 and later can replace itself with that shell. With older versions, the shell is a child process that
 * inherits the orphans (a "subreaper"). Perl, which Debian's images contain, makes the system call for that.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { narratorFor } from '../narrator.ts';
import { tellLostVariables } from './lost-variables.ts';

type Execve = (file: string, args: readonly string[], env: NodeJS.ProcessEnv) => never;

const SHELL = '/bin/sh';

/** A signal ends `wait` early (status above 128). If the child still runs, the shell waits again. */
const SHELL_AS_INIT = [
  '"$@" <&0 & child=$!',
  'for name in HUP INT QUIT TERM USR1 USR2 WINCH; do trap "kill -$name $child 2>/dev/null" "$name"; done',
  'while :; do wait "$child"; code=$?; kill -0 "$child" 2>/dev/null || break; done',
  'exit "$code"',
].join('\n');

const PASSED_ON = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH'] as const;

/** The number of the system call `prctl`, by `process.arch`. */
const PRCTL: Readonly<Record<string, number>> = {
  x64: 157,
  ia32: 172,
  arm: 172,
  arm64: 167,
  riscv64: 167,
  loong64: 167,
  ppc64: 171,
  s390x: 172,
};
const SUBREAPER = 'syscall(shift, 36, 1, 0, 0, 0) == 0 or exit 1; exec @ARGV if @ARGV'; // PR_SET_CHILD_SUBREAPER

/** @returns the exit code if a child process has done the work; undefined if this process must do it. */
export async function becomeInit(): Promise<number | undefined> {
  if (process.pid !== 1) return undefined;
  const execve = (process as { execve?: Execve }).execve;
  const self = [process.execPath, ...process.execArgv, process.argv[1]!, ...process.argv.slice(2)];
  const shell = ['sh', '-c', SHELL_AS_INIT, 'sh', ...self];
  if (existsSync(SHELL)) {
    if (execve !== undefined) {
      tellLost();
      execve.call(process, SHELL, shell, process.env); // does not return
    }
    const code = await belowSubreaper([SHELL, ...shell.slice(1)]);
    if (code !== undefined) return code;
  }
  process.stderr.write(
    'etcd-election: this is process 1, but orphaned processes are not reaped here. ' +
      'Use docker run --init, tini, or an image with a shell and Node 22.15 or later\n',
  );
  return undefined;
}

/** The shell drops these variables, so the Node below it cannot name them. */
function tellLost(): void {
  if (process.argv[2] !== 'run') return;
  const end = process.argv.indexOf('--');
  const json = process.argv.slice(3, end < 0 ? undefined : end).includes('--json');
  tellLostVariables(process.env, narratorFor(process, { json, quiet: false }).logger);
}

/** @returns undefined if there is no Perl, or if it cannot make the system call here. */
function belowSubreaper(command: readonly string[]): Promise<number | undefined> {
  const prctl = PRCTL[process.arch];
  const perl = ['/usr/bin/perl', '/bin/perl', '/usr/local/bin/perl'].find((path) => existsSync(path));
  if (prctl === undefined || perl === undefined) return Promise.resolve(undefined);
  const script = ['-e', SUBREAPER, String(prctl)];
  if (spawnSync(perl, script, { stdio: 'ignore' }).status !== 0) return Promise.resolve(undefined);
  tellLost();
  return new Promise((resolve) => {
    const child = spawn(perl, [...script, ...command], { stdio: 'inherit' });
    for (const name of PASSED_ON) process.on(name, () => child.kill(name));
    child.once('error', () => resolve(undefined));
    child.once('exit', (code, signal) =>
      resolve(signal === null ? (code ?? 1) : 128 + constants.signals[signal]),
    );
  });
}
