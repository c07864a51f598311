/**
 * Runs one command as the work of a term. The command ends before another replica can lead.
 */
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LeadershipLostError, Term } from '../index.ts';
import { ChildGroup, type ChildEnd } from './child-group.ts';
import { EXIT } from './exit-codes.ts';
import { whyNotStarted } from './find-command.ts';
import { sharedClockMs, type Order } from './guardian.ts';
import type { Narrator } from './narrator.ts';
import { graceMs, guardianLimits, termVariables, type RunOptions } from './run-options.ts';
import type { Terminal } from './terminal.ts';

/** Signals that end `run`. The others are only passed on. */
const STOPS = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'] as const;
const PASSED_ON = ['SIGUSR1', 'SIGUSR2', 'SIGWINCH'] as const;

/** How long to wait after SIGKILL until a group is empty, in milliseconds. Only a process stuck in the kernel needs longer. */
export const BURIAL_MS = 5_000;

/** A second Ctrl-C within this time counts as the same one, in milliseconds: npx repeats the signal of the terminal. */
const SAME_CTRL_C_MS = 100;

export class Runner {
  readonly #options: RunOptions;
  readonly #env: Terminal['env'];
  readonly #narrator: Narrator;
  /** Resolves with the exit code when everything is done. */
  readonly finished: Promise<number>;
  finish: (exitCode: number) => void = () => undefined;
  fail: (error: unknown) => void = () => undefined;
  /** Whether the command was started, or a start was tried. */
  hasServed = false;
  #group: ChildGroup | undefined;
  /** The term that the group belongs to. */
  #term: Term | undefined;
  /** Whether the group was stopped with SIGSTOP and must be continued. */
  #isGroupStopped = false;
  /** Aborts on a signal to stop. */
  readonly #stop = new AbortController();
  /** The exit code of a command that has ended, while `--hold` keeps the leadership. */
  #endedWith: number | undefined;
  #stopName: NodeJS.Signals | undefined;
  #stoppedAtMs = 0;

  constructor(options: RunOptions, terminal: Terminal, narrator: Narrator) {
    this.#options = options;
    this.#env = terminal.env;
    this.#narrator = narrator;
    this.finished = new Promise((resolve, reject) => {
      this.finish = resolve;
      this.fail = reject;
    });
  }

  /** Passes signals on to the command. Before the command runs, a stop signal ends `run` itself. */
  listen(): Disposable {
    const listeners: [NodeJS.Signals, () => void][] = [
      ...STOPS.map((name) => [name, () => this.endBy(name)] as [NodeJS.Signals, () => void]),
      ...PASSED_ON.map(
        (name) => [name, () => void this.#group?.signal(name)] as [NodeJS.Signals, () => void],
      ),
      ['SIGTSTP', () => this.#suspend()],
      ['SIGCONT', () => this.#resume()],
    ];
    for (const [name, listener] of listeners) process.on(name, listener);
    return {
      [Symbol.dispose](): void {
        for (const [name, listener] of listeners) process.off(name, listener);
      },
    };
  }

  /** Ends the command in order, and then `run`. */
  endBy(name: (typeof STOPS)[number]): void {
    const isStopping = this.#stop.signal.aborted;
    if (isStopping && name === 'SIGINT' && sharedClockMs() - this.#stoppedAtMs > SAME_CTRL_C_MS) {
      this.#narrator.say('command.hurried', {}, 'asked again: killing the command');
      if (this.#group === undefined) process.exit(EXIT.signalled + constants.signals[name]);
      this.#group.signal('SIGKILL');
      return;
    }
    if (!isStopping) this.#stoppedAtMs = sharedClockMs();
    this.#stopName ??= name;
    this.#group?.signal(name);
    if (this.#isGroupStopped) this.#resume(); // a stopped process reacts only to SIGKILL
    if (this.#group === undefined) this.finish(this.#endedWith ?? EXIT.signalled + constants.signals[name]);
    this.#stop.abort();
  }

  /** Handles Ctrl-Z. The group has its own session, in which SIGTSTP has no effect, so it gets SIGSTOP. */
  #suspend(): void {
    this.#isGroupStopped = this.#group?.signal('SIGSTOP') === true;
    process.kill(process.pid, 'SIGSTOP');
  }

  /** Handles `fg`. If the term is over, the group stays stopped, and {@link serve} ends it. */
  #resume(): void {
    if (!this.#isGroupStopped || this.#term?.isCurrent() !== true) return;
    this.#isGroupStopped = false;
    this.#group?.signal('SIGCONT');
  }

  /** Runs the command. Settles when no process of the group is left; only then the key is deleted. */
  async serve(term: Term): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.hasServed = true;
    const { command, args, once } = this.#options;
    const env = { ...this.#env, ...termVariables(term, Date.now()) };
    const problem = whyNotStarted(command, env['PATH']);
    if (problem !== undefined) return this.#tellEnd(problem);
    const startedMs = sharedClockMs();
    const group = await ChildGroup.start(command, args, env, this.#limitsOf(term)).catch(
      (error: Error) => error,
    );
    if (group instanceof Error)
      return this.#tellEnd({ exitCode: EXIT.notExecutable, how: `could not be started: ${group.message}` });
    this.#term = term;
    this.#group = group;
    if (this.#stopName !== undefined) group.signal(this.#stopName); // the signal came during the start
    this.#narrator.say(
      'command.started',
      { pid: group.pid, command },
      `started ${command} (process ${group.pid})`,
    );
    const end = await this.#oversee(term, group);
    // If the runner or the guardian told the command to stop, it has not ended by itself, whatever its exit code.
    const lost = end === 'lost' || !term.isCurrent();
    if (!(await group.bury(BURIAL_MS)))
      this.#narrator.logger.error(
        { event: 'command.immortal' },
        `processes of group ${group.pid} survive SIGKILL`,
      );
    this.#group = undefined;
    const { exitCode, how } = end === 'lost' ? await group.ended : end;
    this.#narrator.say('command.ended', { exitCode, lost }, `${command} ${how}`);
    this.#endedWith = lost ? undefined : exitCode;
    if (!lost) await this.#hold(term, startedMs);
    if (!lost || this.#stop.signal.aborted) this.finish(exitCode);
    else if (once) this.finish(EXIT.noLeader);
  }

  #tellEnd({ exitCode, how }: ChildEnd): void {
    const { command } = this.#options;
    this.#narrator.logger.error({ event: 'command.failed', exitCode, command }, `${command} ${how}`);
    this.finish(exitCode);
  }

  /** `--hold`: keeps the leadership, so that replicas with a late clock find it taken. */
  async #hold(term: Term, startedMs: number): Promise<void> {
    const leftMs = this.#options.holdMs - (sharedClockMs() - startedMs);
    if (leftMs > 0) await pause(leftMs, AbortSignal.any([term.signal, this.#stop.signal]));
  }

  #limitsOf(term: Term): Omit<Order, 'group'> {
    return guardianLimits(sharedClockMs() + term.remainingMs(), this.#options.marginMs);
  }

  /** Waits until the command has ended, or its time to stop is over. */
  async #oversee(term: Term, group: ChildGroup): Promise<ChildEnd | 'lost'> {
    const over = new AbortController();
    try {
      return await Promise.race([
        group.ended,
        this.#killWhenLost(term, group, over.signal),
        this.#killWhenStopped(group, over.signal),
      ]);
    } finally {
      over.abort();
    }
  }

  async #killWhenLost(term: Term, group: ChildGroup, over: AbortSignal): Promise<'lost'> {
    const untilMs = await this.#feedUntilLost(term, group, over);
    if (over.aborted) return 'lost';
    const reason = (term.signal.reason as LeadershipLostError).reason;
    // The key or the lease is gone, so another replica may already lead. The command still ends in order.
    const lateMs = reason === 'deadline-passed' ? sharedClockMs() - untilMs : 0;
    const leftMs = graceMs(this.#options.marginMs, lateMs);
    group.feed({ terminateAtMs: null, killAtMs: sharedClockMs() + leftMs });
    group.signal('SIGTERM');
    // The group must run to receive the signal, but not after the term.
    if (this.#isGroupStopped && leftMs > 0) group.signal('SIGCONT');
    this.#isGroupStopped = false;
    await Promise.race([group.ended, pause(leftMs, over)]);
    return 'lost';
  }

  /** Tells the guardian about every renewal. @returns when the term ended, never later than it really did. */
  async #feedUntilLost(term: Term, group: ChildGroup, over: AbortSignal): Promise<number> {
    let untilMs = sharedClockMs() + term.remainingMs();
    const ended = AbortSignal.any([term.signal, over]);
    while (!ended.aborted) {
      const remainingMs = term.remainingMs();
      const nowMs = sharedClockMs();
      if (remainingMs > 0 && nowMs + remainingMs > untilMs + FEED_STEP_MS) {
        untilMs = nowMs + remainingMs;
        group.feed(guardianLimits(untilMs, this.#options.marginMs));
      }
      await pause(FEED_EVERY_MS, ended);
    }
    return untilMs;
  }

  async #killWhenStopped(group: ChildGroup, over: AbortSignal): Promise<ChildEnd> {
    await aborted(AbortSignal.any([this.#stop.signal, over]));
    await pause(this.#options.stopTimeoutMs, over);
    if (!over.aborted) group.signal('SIGKILL');
    return await group.ended;
  }
}

/** How often the guardian's deadline is moved, in milliseconds: several times between two renewals, for any TTL. */
const FEED_EVERY_MS = 250;
/** Smaller changes of the deadline are ignored, in milliseconds: the clock has steps. */
const FEED_STEP_MS = 50;

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  sleep(ms, undefined, { signal }).catch(() => undefined);
