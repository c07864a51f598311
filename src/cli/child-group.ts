/**
 * A command in a process group of its own: signalled as a whole, dead as a whole, and never outliving us.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { EXIT } from './exit-codes.ts';

/** How a command ended, as the exit code that a shell would give. */
export interface ChildEnd {
  readonly exitCode: number;
  readonly how: string;
}

export class ChildGroup {
  /** Process ID of the command, which is that of its group too; undefined where it could not be started. */
  readonly pid: number | undefined;
  /** The command itself is dead; others of its group may live on. Never rejects. */
  readonly ended: Promise<ChildEnd>;
  readonly #guardian: ChildProcess;

  constructor(command: string, args: readonly string[], env: NodeJS.ProcessEnv) {
    const guardian = guard(); // first: we may be killed as soon as the command runs
    const child = spawn(command, args, { stdio: 'inherit', env, detached: true });
    // Until here nobody but us knows the group: a SIGKILL that hits us between the two lines leaves the command alive.
    guardian.stdin?.write(`${child.pid ?? ''}\n`);
    this.pid = child.pid;
    this.ended = new Promise((resolve) => {
      child.once('error', (error: NodeJS.ErrnoException) => resolve(notStarted(command, error)));
      child.once('exit', (code, signal) => resolve(endOf(code, signal)));
    });
    this.#guardian = guardian;
  }

  /** Sends the signal to the whole group. @returns false if nobody is left in it. */
  signal(name: NodeJS.Signals | 0): boolean {
    if (this.pid === undefined) return false;
    try {
      return process.kill(-this.pid, name);
    } catch (error) {
      // EPERM: somebody is there, who has become another user.
      return (error as NodeJS.ErrnoException).code === 'EPERM';
    }
  }

  /** Kills whoever is left in the group, and waits until nobody is, at most `withinMs`. @returns whether nobody is left. */
  async bury(withinMs: number): Promise<boolean> {
    const dueMs = performance.now() + withinMs;
    this.signal('SIGKILL');
    await this.ended;
    while (this.signal(0)) {
      if (performance.now() > dueMs) return false;
      await sleep(LOOK_EVERY_MS);
      this.signal('SIGKILL'); // a fork that slipped through
    }
    this.#guardian.kill('SIGKILL');
    return true;
  }
}

const LOOK_EVERY_MS = 5;

/** A shell that kills the group when we are gone, however we went: it sees the end of a pipe that only we hold. */
function guard(): ChildProcess {
  // Spelled out: dash does not take `kill -9 -- …`.
  const script = 'read -r group; read -r _; [ -z "$group" ] || kill -s KILL -- "-$group"';
  const shell = spawn('/bin/sh', ['-c', script], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true, // out of reach of the terminal's signals
  });
  shell.stdin?.on('error', () => undefined);
  shell.on('error', () => undefined); // no shell here: nothing that we could do
  shell.unref();
  return shell;
}

function endOf(code: number | null, signal: NodeJS.Signals | null): ChildEnd {
  if (signal === null) return { exitCode: code ?? EXIT.failed, how: `ended with code ${code}` };
  return { exitCode: EXIT.signalled + constants.signals[signal], how: `died of ${signal}` };
}

function notStarted(command: string, error: NodeJS.ErrnoException): ChildEnd {
  const exitCode = error.code === 'ENOENT' ? EXIT.notFound : EXIT.notExecutable;
  return { exitCode, how: `could not be started: ${command}: ${error.code ?? error.message}` };
}
