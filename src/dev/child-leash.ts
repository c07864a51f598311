import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';

interface Leash {
  /** Call when the child has ended: from then on its process ID may belong to another process. */
  release(): void;
}

const held = new Map<ChildProcess, string | undefined>();

/**
 * Makes sure that a child process never outlives this one, and that its temporary folder goes with it.
 *
 * If this process exits, an `exit` handler kills the child. If it is killed (SIGKILL, out of memory), no
 * handler runs: then a waiting shell sees the end of the pipe that only we hold, and does the same. (Linux's own
 * PR_SET_PDEATHSIG would need a helper that not every machine has, and it fires when the *thread* that started
 * the child ends.)
 *
 * @param temporaryDir removed with `rm -rf` once the child is killed; leave it out for a folder to keep.
 */
export function leash(child: ChildProcess, temporaryDir?: string): Leash {
  if (held.size === 0) process.on('exit', killAll);
  held.set(child, temporaryDir);
  const script = 'read -r _; kill -9 "$1"; if [ -n "$2" ]; then rm -rf -- "$2"; fi';
  const shell = spawn('/bin/sh', ['-c', script, 'sh', String(child.pid), temporaryDir ?? ''], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true, // so that Ctrl-C in a terminal reaches us only, and the shell still stands when we are gone
  });
  shell.on('error', () => {}); // no shell: the exit handler is all there is
  shell.unref();
  return {
    release() {
      if (!held.delete(child)) return;
      shell.kill('SIGKILL');
      if (held.size === 0) process.off('exit', killAll);
    },
  };
}

function killAll(): void {
  for (const [child, temporaryDir] of held) {
    child.kill('SIGKILL');
    if (temporaryDir !== undefined) rmSync(temporaryDir, { recursive: true, force: true, maxRetries: 3 });
  }
}
