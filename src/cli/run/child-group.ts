/**
 * Runs a command in its own process group. The group is killed at the deadline, or if this process ends.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import type { Writable } from 'node:stream';
import { clock } from '../../util/clock.ts';
import { EXIT } from '../exit-codes.ts';
import { GUARDIAN, signalGroup, type Order } from './guardian.ts';

/** How a command ended, with the exit code that a shell would return. */
export interface ChildEnd {
  readonly exitCode: number;
  readonly how: string;
}

export class ChildGroup {
  /** Process ID of the command, which is also the ID of its group. */
  readonly pid: number;
  /** Resolves when the command itself has ended. Other processes of its group may still run. Never rejects. */
  readonly ended: Promise<ChildEnd>;
  readonly #child: ChildProcess;
  #guardian: ChildProcess;
  #order: Order;

  /**
   * Starts the guardian and the command.
   *
   * @throws {Error} if one of them cannot start. Then the command does not run.
   */
  static async start(
    command: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv,
    deadline: Omit<Order, 'group'>,
  ): Promise<ChildGroup> {
    const guardian = startGuardian();
    try {
      await once(guardian, 'spawn');
      // The shell waits for a line of input, and then becomes the command. If this process dies before the guardian knows
      // the group, the line never comes, and the command never runs.
      const child = spawn('/bin/sh', ['-c', WAIT_AND_BECOME, 'sh', command, ...args], {
        stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
        env,
        detached: true,
      });
      await once(child, 'spawn');
      const group = new ChildGroup(guardian, child, { ...deadline, group: child.pid! });
      const gate = child.stdio[3] as Writable;
      gate.on('error', () => undefined); // the shell has ended, and its exit event reports that
      gate.end('run\n');
      return group;
    } catch (error) {
      guardian.kill('SIGKILL');
      throw error;
    }
  }

  private constructor(guardian: ChildProcess, child: ChildProcess, order: Order) {
    this.#guardian = guardian;
    this.#child = child;
    this.#order = order;
    child.on('error', () => undefined); // a kill fails if the command now runs as another user
    this.pid = order.group;
    this.ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(endOf(code, signal))));
    tell(guardian, order);
  }

  /** Moves the deadline at which the guardian ends the group. */
  moveDeadline(deadline: Omit<Order, 'group'>): void {
    this.#order = { ...deadline, group: this.pid };
    if (hasEnded(this.#guardian)) this.#guardian = startGuardian();
    tell(this.#guardian, this.#order);
  }

  signal(name: NodeJS.Signals | 0): boolean {
    return signalGroup(this.pid, name);
  }

  /**
   * Kills the command and its group. Waits at most `withinMs`, because a process that is stuck in the kernel does not
   * end.
   *
   * @returns whether all these processes have ended.
   */
  async killAll(withinMs: number): Promise<boolean> {
    const dueMs = clock.now() + withinMs;
    // Each round kills the processes that were forked meanwhile.
    while (this.#kill()) {
      if (clock.now() > dueMs) return false;
      await clock.sleep(LOOK_EVERY_MS);
    }
    this.#guardian.kill('SIGKILL');
    return true;
  }

  #kill(): boolean {
    const isGroupThere = this.signal('SIGKILL');
    this.#child.kill('SIGKILL'); // the command may have moved to another group
    return isGroupThere || !hasEnded(this.#child);
  }
}

const WAIT_AND_BECOME = 'read -r _ <&3 || exit 125; exec 3<&-; exec "$@"';

const LOOK_EVERY_MS = 5;

const hasEnded = ({ exitCode, signalCode }: ChildProcess): boolean =>
  exitCode !== null || signalCode !== null;

/** The only variables that the guardian inherits. NODE_OPTIONS, for example, could open an inspector or load code. */
const INHERITED = ['PATH', 'LD_LIBRARY_PATH', 'OPENSSL_CONF'] as const;

function startGuardian(): ChildProcess {
  const guardian = spawn(process.execPath, [process.argv[1]!, GUARDIAN], {
    stdio: ['pipe', 'ignore', 'ignore'],
    env: Object.fromEntries(
      INHERITED.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
    ),
    cwd: '/',
    detached: true, // out of reach of the terminal's signals
  });
  guardian.stdin?.on('error', () => undefined); // the guardian has ended: moveDeadline() starts another one
  // If the first guardian fails to start, start() throws. If one ends later, the next moveDeadline() starts another.
  guardian.on('error', () => undefined);
  guardian.unref();
  return guardian;
}

const tell = (guardian: ChildProcess, order: Order): void =>
  void guardian.stdin?.write(`${JSON.stringify(order)}\n`);

function endOf(code: number | null, signal: NodeJS.Signals | null): ChildEnd {
  if (signal === null) return { exitCode: code ?? EXIT.failed, how: `ended with code ${code}` };
  return { exitCode: EXIT.signalled + constants.signals[signal], how: `was killed by ${signal}` };
}
