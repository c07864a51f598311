/**
 * A command in a process group of its own: signalled as a whole, dead as a whole, and never outliving us or the
 * deadline.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { EXIT } from './exit-codes.ts';
import { GUARDIAN, signalGroup, type Order } from './guardian.ts';

/** How a command ended, as the exit code that a shell would give. */
export interface ChildEnd {
  readonly exitCode: number;
  readonly how: string;
}

export class ChildGroup {
  /** Process ID of the command, which is that of its group too. */
  readonly pid: number;
  /** The command itself is dead; others of its group may live on. Never rejects. */
  readonly ended: Promise<ChildEnd>;
  #guardian: ChildProcess;
  #order: Order;

  /** @throws {Error} if the guardian or the shell cannot be started: then the command does not run. */
  static async start(
    command: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv,
    deadline: Omit<Order, 'group'>,
  ): Promise<ChildGroup> {
    const guardian = startGuardian();
    try {
      await once(guardian, 'spawn');
      // The shell waits for a word and then becomes the command. If we die before the guardian knows the group, no
      // word comes, and no command runs.
      const child = spawn('/bin/sh', ['-c', WAIT_AND_BECOME, 'sh', command, ...args], {
        stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
        env,
        detached: true,
      });
      await once(child, 'spawn');
      const group = new ChildGroup(guardian, child, { ...deadline, group: child.pid! });
      const gate = child.stdio[3] as Writable;
      gate.on('error', () => undefined); // the shell is dead: its exit says so
      gate.end('run\n');
      return group;
    } catch (error) {
      guardian.kill('SIGKILL');
      throw error;
    }
  }

  private constructor(guardian: ChildProcess, child: ChildProcess, order: Order) {
    this.#guardian = guardian;
    this.#order = order;
    this.pid = order.group;
    this.ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(endOf(code, signal))));
    tell(guardian, order);
  }

  /** Moves the deadline: the guardian acts unless it is moved again in time. */
  feed(deadline: Omit<Order, 'group'>): void {
    this.#order = { ...deadline, group: this.pid };
    // It was killed. At most one start for each renewal.
    if (this.#guardian.exitCode !== null || this.#guardian.signalCode !== null)
      this.#guardian = startGuardian();
    tell(this.#guardian, this.#order);
  }

  /** Sends the signal to the whole group. @returns false if the group is empty. */
  signal(name: NodeJS.Signals | 0): boolean {
    return signalGroup(this.pid, name);
  }

  /** Kills the rest of the group, and waits until it is empty, at most `withinMs`. @returns whether it is empty. */
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

const WAIT_AND_BECOME = 'read -r _ <&3 || exit 125; exec 3<&-; exec "$@"';

const LOOK_EVERY_MS = 5;

/** What a process of Node needs to find its libraries. No NODE_OPTIONS: they would open an inspector, or load code. */
const INHERITED = ['PATH', 'LD_LIBRARY_PATH', 'OPENSSL_CONF'] as const;

/** This program once more, as a guardian; see guardian.ts. */
function startGuardian(): ChildProcess {
  const guardian = spawn(process.execPath, [process.argv[1]!, GUARDIAN], {
    stdio: ['pipe', 'ignore', 'ignore'],
    env: Object.fromEntries(
      INHERITED.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
    ),
    cwd: '/',
    detached: true, // out of reach of the terminal's signals
  });
  guardian.stdin?.on('error', () => undefined); // its exit says so
  guardian.on('error', () => undefined); // the first one is awaited; a later one is tried again
  guardian.unref();
  return guardian;
}

const tell = (guardian: ChildProcess, order: Order): void =>
  void guardian.stdin?.write(`${JSON.stringify(order)}\n`);

function endOf(code: number | null, signal: NodeJS.Signals | null): ChildEnd {
  if (signal === null) return { exitCode: code ?? EXIT.failed, how: `ended with code ${code}` };
  return { exitCode: EXIT.signalled + constants.signals[signal], how: `died of ${signal}` };
}
