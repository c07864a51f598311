/**
 * The guardian's own process. It ends the command's group in two cases: when the runner is gone, and when the runner
 * has not renewed the deadline in time, because it was stopped (Ctrl-Z, SIGSTOP, a debugger). The runner cannot
 * do that itself, and the other replicas do not wait for it.
 */
import { uptime } from 'node:os';

/** What the runner says, one JSON object a line; the last one counts. */
export interface Order {
  readonly group: number;
  /** When the group gets SIGTERM, on {@link sharedClockMs}; null if the runner has taken that over. */
  readonly terminateAtMs: number | null;
  /** When the group gets SIGKILL, on the same clock. */
  readonly killAtMs: number;
}

/** The word that makes a guardian of the command `etcd-election`. */
export const GUARDIAN = '__guardian';

/**
 * One clock for the runner and the guardian, in milliseconds. On Linux it counts the time that the machine was
 * suspended; elsewhere `uptime()` has whole seconds only.
 */
export const sharedClockMs = (): number =>
  process.platform === 'linux' ? uptime() * 1_000 : Number(process.hrtime.bigint() / 1_000n) / 1_000;

/** Looks at the clock at least so often: a timer does not count suspended time. */
const LOOK_EVERY_MS = 1_000;
/** SIGKILL is repeated for forks that slip through. */
const KILL_EVERY_MS = 100;
const MOST_KILLS = 20;

/** Runs until the pipe ends, and the group with it. */
export function guard(pipe: NodeJS.ReadableStream, end: () => void): void {
  process.title = 'etcd-election guardian';
  // A signal to the runner's process group must not reach the guardian. SIGUSR1 would open an inspector.
  for (const name of IGNORED) process.on(name, () => undefined);
  const watch = new DeadlineWatch(end);
  let unread = '';
  pipe.setEncoding('utf8');
  pipe.on('data', (text: string) => {
    const lines = (unread + text).split('\n');
    unread = lines.pop() ?? ''; // half a line: the rest comes, or the runner died while it wrote
    const last = lines.at(-1);
    if (last !== undefined) watch.obey(JSON.parse(last) as Order);
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
    this.#look();
  }

  runnerGone(): void {
    if (this.#isAlone) return;
    this.#isAlone = true;
    if (this.#order === undefined) return this.#end();
    this.#order = { ...this.#order, killAtMs: 0 }; // at once, whatever the deadline
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
      signalGroup(group, 'SIGCONT'); // a stopped process obeys nothing but SIGKILL
    }
    const nextMs =
      this.#isTerminated || terminateAtMs === null ? killAtMs : Math.min(terminateAtMs, killAtMs);
    this.#timer = setTimeout(() => this.#look(), Math.min(LOOK_EVERY_MS, Math.max(1, nextMs - now)));
  }

  #kill(group: number): void {
    const isThere = this.#kills++ < MOST_KILLS && signalGroup(group, 'SIGKILL');
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
    // EPERM: a process is there that has become another user.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
