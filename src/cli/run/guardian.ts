/**
 * The guardian process of `run`. The runner is the process of `run` itself. If the runner has ended, or is still stopped at the
 * deadline, the guardian ends the command's process group. Ctrl-Z, SIGSTOP or a debugger can stop the runner. Other replicas do
 * not wait for a stopped runner.
 *
 * The guardian runs from text (see guardian-source.ts), because the files of the package may have moved since `run` started.
 */
import { uptime } from 'node:os';
import { remainderOf } from './remainder.ts';

/** A message of the runner, one JSON object per line. The newest one counts. */
export interface Order {
  readonly group: number;
  /** When the guardian sends SIGTERM to the group, on {@link sharedClockMs}; null if the runner sends it. */
  readonly terminateAtMs: number | null;
  /** When the guardian sends SIGKILL to the group, on the same clock. */
  readonly killAtMs: number;
}

/** A clock that the runner and the guardian share. On Linux it goes on while the machine is suspended. */
export const sharedClockMs = (): number =>
  process.platform === 'linux' ? uptime() * 1_000 : Number(process.hrtime.bigint() / 1_000n) / 1_000;

/** The longest pause between looks at the clock. A timer does not count suspended time. */
const LOOK_EVERY_MS = 1_000;
/** SIGKILL is repeated for processes that were forked meanwhile. */
const KILL_EVERY_MS = 100;
/** The guardian gives up after this many SIGKILLs, because a process that is stuck in the kernel does not end. */
const MOST_KILLS = 20;

/**
 * Obeys the runner until the pipe ends. Then kills the group, and ends.
 *
 * @param answers gets one byte when the guardian has its first order.
 */
export function guard(pipe: NodeJS.ReadableStream, answers: NodeJS.WritableStream, end: () => void): void {
  process.title = 'etcd-election guardian';
  // The guardian must survive a signal to every process of the service. SIGUSR1 would open an inspector.
  for (const name of IGNORED) process.on(name, () => undefined);
  const watch = new DeadlineWatch(end);
  let unread = '';
  let hasOrder = false;
  answers.on('error', () => undefined); // the runner has ended, and the end of the other pipe reports that
  pipe.setEncoding('utf8');
  pipe.on('data', (text: string) => {
    const lines = (unread + text).split('\n');
    unread = lines.pop() ?? ''; // an incomplete line: the rest may follow
    const last = lines.at(-1);
    if (last === undefined) return;
    watch.obey(JSON.parse(last) as Order);
    if (!hasOrder) answers.write('.');
    hasOrder = true;
  });
  for (const over of ['end', 'close', 'error'] as const) pipe.on(over, () => watch.runnerGone());
}

class DeadlineWatch {
  readonly #end: () => void;
  #order: Order | undefined;
  #isTerminated = false;
  #isAlone = false;
  #kills = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(end: () => void) {
    this.#end = end;
  }

  obey(order: Order): void {
    this.#order = order;
    this.#kills = 0;
    this.#look();
  }

  runnerGone(): void {
    if (this.#isAlone) return;
    this.#isAlone = true;
    if (this.#order === undefined) return this.#end();
    this.#order = { ...this.#order, killAtMs: 0 }; // at once, regardless of the deadline
    this.#kills = 0;
    this.#look();
  }

  #look(): void {
    clearTimeout(this.#timer);
    const { group, terminateAtMs, killAtMs } = this.#order!;
    const now = sharedClockMs();
    if (now >= killAtMs) return this.#kill(group);
    if (!this.#isTerminated && terminateAtMs !== null && now >= terminateAtMs) {
      this.#isTerminated = true;
      signalGroup(group, 'SIGTERM');
      signalGroup(group, 'SIGCONT'); // a stopped process handles SIGTERM only after SIGCONT
    }
    const nextMs =
      this.#isTerminated || terminateAtMs === null ? killAtMs : Math.min(terminateAtMs, killAtMs);
    this.#timer = setTimeout(() => this.#look(), Math.min(LOOK_EVERY_MS, Math.max(1, nextMs - now)));
  }

  #kill(group: number): void {
    const isThere =
      this.#kills++ < MOST_KILLS && signalGroup(group, 'SIGKILL') && remainderOf(group) !== 'none';
    if (isThere) this.#timer = setTimeout(() => this.#look(), KILL_EVERY_MS);
    else if (this.#isAlone) this.#end();
  }
}

const IGNORED = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGTSTP', 'SIGUSR1', 'SIGUSR2'] as const;

/** @returns false if the group is empty. */
export function signalGroup(group: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-group, name);
  } catch (error) {
    // EPERM: the group has a process that now runs as another user.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
