/**
 * The work of a term: one command, dead before the next replica can lead.
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

/** These end us; the others are only passed on. */
const STOPS = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'] as const;
const PASSED_ON = ['SIGUSR1', 'SIGUSR2', 'SIGWINCH'] as const;

/** How long SIGKILL may take to clear a group: longer only where the kernel holds a process. */
export const BURIAL_MS = 5_000;

/** A Ctrl-C that comes sooner than this after the first is the same one: npx passes on what the terminal sends as well. */
const SAME_CTRL_C_MS = 100;

export class Runner {
  readonly #options: RunOptions;
  readonly #env: Terminal['env'];
  readonly #narrator: Narrator;
  /** The exit code, once there is nothing more to do. */
  readonly finished: Promise<number>;
  finish: (exitCode: number) => void = () => undefined;
  fail: (error: unknown) => void = () => undefined;
  /** Whether the command was started, or would have been. */
  hasServed = false;
  #group: ChildGroup | undefined;
  /** The term that the group belongs to. */
  #term: Term | undefined;
  /** We have stopped the group with SIGSTOP, and have to wake it. */
  #isGroupStopped = false;
  /** Aborts on a signal to stop. */
  readonly #stop = new AbortController();
  /** The code of a command that has ended by itself, while its leadership is held. */
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

  /** Signals for us are signals for the command; until it runs, those that stop us do just that. */
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

  /** Ends the command in good order, and then us. */
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
    if (this.#isGroupStopped) this.#resume(); // a stopped process obeys nothing but SIGKILL
    if (this.#group === undefined) this.finish(this.#endedWith ?? EXIT.signalled + constants.signals[name]);
    this.#stop.abort();
  }

  /** Ctrl-Z. The group is in a session of its own, where SIGTSTP does not stop: so SIGSTOP. The guardian watches on. */
  #suspend(): void {
    this.#isGroupStopped = this.#group?.signal('SIGSTOP') === true;
    process.kill(process.pid, 'SIGSTOP');
  }

  /** `fg`. A group whose term is over stays stopped, and {@link serve} ends it. */
  #resume(): void {
    if (!this.#isGroupStopped || this.#term?.isCurrent() !== true) return;
    this.#isGroupStopped = false;
    this.#group?.signal('SIGCONT');
  }

  /** Settles only when no process of the group is left. Only then the key is deleted. */
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
    if (this.#stopName !== undefined) group.signal(this.#stopName); // it came while we started
    this.#narrator.say(
      'command.started',
      { pid: group.pid, command },
      `started ${command} (process ${group.pid})`,
    );
    const end = await this.#oversee(term, group);
    // A command that was asked to stop, by us or by the guardian, has not ended by itself, whatever its code.
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

  /** `--hold`: replicas that come later, because their clocks differ, find another leader. */
  async #hold(term: Term, startedMs: number): Promise<void> {
    const leftMs = this.#options.holdMs - (sharedClockMs() - startedMs);
    if (leftMs > 0) await pause(leftMs, AbortSignal.any([term.signal, this.#stop.signal]));
  }

  #limitsOf(term: Term): Omit<Order, 'group'> {
    return guardianLimits(sharedClockMs() + term.remainingMs(), this.#options.marginMs);
  }

  /** Until the command is dead, or the time is up that it gets for that. */
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
    // The key or the lease was taken from us, so another replica may lead already. The command still ends in order.
    const lateMs = reason === 'deadline-passed' ? sharedClockMs() - untilMs : 0;
    const leftMs = graceMs(this.#options.marginMs, lateMs);
    group.feed({ terminateAtMs: null, killAtMs: sharedClockMs() + leftMs });
    group.signal('SIGTERM');
    // It has to run to see the signal, and must not run after the term.
    if (this.#isGroupStopped && leftMs > 0) group.signal('SIGCONT');
    this.#isGroupStopped = false;
    await Promise.race([group.ended, pause(leftMs, over)]);
    return 'lost';
  }

  /** Tells the guardian of each renewal. @returns until when the term was valid, never later than it really was. */
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

/** Several times between two renewals, for any TTL. */
const FEED_EVERY_MS = 250;
/** Less is the clock's own step. */
const FEED_STEP_MS = 50;

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  sleep(ms, undefined, { signal }).catch(() => undefined);
