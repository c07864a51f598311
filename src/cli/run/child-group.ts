/**
 * Runs a command in its own process group. The group is killed at the deadline, or if this process ends.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import type { Writable } from 'node:stream';
import type { Term } from '../../index.ts';
import { clock } from '../../util/clock.ts';
import { EXIT } from '../exit-codes.ts';
import { signalGroup, type Order } from './guardian.ts';
import { askFor, remainderOf, type Remainder } from './remainder.ts';
import { GuardianProcess, type OnGuardianLost } from './guardian-process.ts';

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
  readonly #guardian: GuardianProcess;

  /**
   * Starts the guardian and the command.
   *
   * @param deadline computes the guardian's deadline afresh. The term may be renewed while the guardian starts.
   * @returns undefined if the term ends before the command runs. Then the command never runs.
   * @throws {Error} if one of them cannot start. Then the command does not run.
   */
  static async start(
    command: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv,
    term: Pick<Term, 'signal' | 'isCurrent'>,
    deadline: () => Omit<Order, 'group'>,
    onGuardianLost: OnGuardianLost,
  ): Promise<ChildGroup | undefined> {
    // The shell waits for a line of input, and then becomes the command. If this process dies before the guardian knows
    // the group, the line never comes, and the command never runs.
    const child = spawn('/bin/sh', ['-c', WAIT_AND_BECOME, 'sh', command, ...args], {
      stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
      env,
      detached: true,
    });
    await once(child, 'spawn');
    const gate = child.stdio[3] as Writable;
    gate.on('error', () => undefined); // the shell has ended, and its exit event reports that
    let guardian: GuardianProcess | undefined;
    let mayRun = false;
    try {
      guardian = new GuardianProcess(() => ({ ...deadline(), group: child.pid! }), onGuardianLost);
      const group = new ChildGroup(guardian, child);
      await guardian.ready(term.signal);
      mayRun = term.isCurrent();
      if (!mayRun) return undefined;
      gate.end('run\n');
      return group;
    } finally {
      if (!mayRun) {
        guardian?.end();
        child.kill('SIGKILL');
      }
    }
  }

  private constructor(guardian: GuardianProcess, child: ChildProcess) {
    this.#guardian = guardian;
    this.#child = child;
    child.on('error', () => undefined); // a kill fails if the command now runs as another user
    this.pid = child.pid!;
    this.ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(endOf(code, signal))));
  }

  /** Moves the deadline at which the guardian ends the group. */
  moveDeadline(deadline: Omit<Order, 'group'>): void {
    this.#guardian.obey({ ...deadline, group: this.pid });
  }

  signal(name: NodeJS.Signals | 0): boolean {
    return signalGroup(this.pid, name);
  }

  /**
   * Kills the command and its group. Waits at most `withinMs`, because a process that is stuck in the kernel does not
   * end.
   *
   * @returns what is left of these processes.
   */
  async killAll(withinMs: number): Promise<Remainder> {
    const dueMs = clock.now() + withinMs;
    // Each round kills the processes that were forked meanwhile.
    for (let round = 1; this.#kill(); round++) {
      const isLate = clock.now() > dueMs;
      const left = isLate || round % ROUNDS_PER_SEARCH === 0 ? this.#left() : 'some';
      if (left === 'none') break;
      if (isLate) return left;
      await clock.sleep(LOOK_EVERY_MS);
    }
    this.#guardian.end();
    return 'none';
  }

  #left(): Remainder {
    const left = remainderOf(this.pid);
    // The command may have moved to another group.
    return left === 'none' && !hasEnded(this.#child) ? askFor(this.pid) : left;
  }

  #kill(): boolean {
    const isGroupThere = this.signal('SIGKILL');
    this.#child.kill('SIGKILL'); // the command may have moved to another group
    return isGroupThere || !hasEnded(this.#child);
  }
}

const WAIT_AND_BECOME = 'read -r _ <&3 || exit 125; exec 3<&-; exec "$@"';

const LOOK_EVERY_MS = 5;
/** A search reads /proc, which takes milliseconds if there are many processes. */
const ROUNDS_PER_SEARCH = 20;

const hasEnded = ({ exitCode, signalCode }: ChildProcess): boolean =>
  exitCode !== null || signalCode !== null;

function endOf(code: number | null, signal: NodeJS.Signals | null): ChildEnd {
  if (signal === null) return { exitCode: code ?? EXIT.failed, how: `ended with code ${code}` };
  return { exitCode: EXIT.signalled + constants.signals[signal], how: `was killed by ${signal}` };
}
