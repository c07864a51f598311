import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';

interface Leash {
  /** Call this when the child has ended, because another process may then get the same process ID. */
  release(): void;
}

const held = new Map<ChildProcess, string | undefined>();

/**
 * Ends a child process, and removes its temporary folder, when this process ends.
 *
 * An `exit` handler kills the child. If this process is killed, no handler runs. Then a shell sees the end of its pipe, and
 * kills the child. Linux's PR_SET_PDEATHSIG is no substitute: it fires when the *thread* that started the child ends.
 *
 * @param temporaryDir is removed after the child has been killed. Leave it out to keep the folder.
 */
export function leash(child: ChildProcess, temporaryDir?: string): Leash {
  if (held.size === 0) process.on('exit', killAll);
  held.set(child, temporaryDir);
  const script = 'read -r _; kill -9 "$1"; if [ -n "$2" ]; then rm -rf -- "$2"; fi';
  const shell = spawn('/bin/sh', ['-c', script, 'sh', String(child.pid), temporaryDir ?? ''], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true, // the shell survives Ctrl-C in a terminal
  });
  shell.on('error', () => {}); // without a shell, only the exit handler kills the child
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
