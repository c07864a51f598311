/**
 * Runs one command as the work of a term. If the term ends at its deadline, the command ends before another replica can lead.
 */
import { constants } from 'node:os';
import type { LeadershipLostError, Term } from '../../index.ts';
import { untilAborted, untilAny } from '../../util/abort.ts';
import { clock } from '../../util/clock.ts';
import { ChildGroup, type ChildEnd } from './child-group.ts';
import { EXIT } from '../exit-codes.ts';
import { whyNotStarted } from './start-check.ts';
import { sharedClockMs, type Order } from './guardian.ts';
import type { Remainder } from './remainder.ts';
import type { Narrator } from '../narrator.ts';
import { graceMs, guardianLimits, KILL_WITHIN_MS, termVariables, type RunOptions } from './run-options.ts';
import type { Terminal } from '../terminal.ts';

/** Signals that end `run`. */
const STOPS = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'] as const;
const PASSED_ON = ['SIGUSR1', 'SIGUSR2', 'SIGWINCH'] as const;

/** Reported for a command that still runs {@link KILL_WITHIN_MS} after SIGKILL. */
const STUCK: ChildEnd = {
  exitCode: EXIT.signalled + constants.signals.SIGKILL,
  how: 'still runs after SIGKILL',
};

/** A second SIGINT within this time is not a second Ctrl-C: npx repeats the signal. */
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
  #term: Term | undefined;
  #isGroupStopped = false;
  /** Aborts on a signal to stop. */
  readonly #stop = new AbortController();
  /** Aborts on a Ctrl-C that follows an earlier stop signal. */
  readonly #hurry = new AbortController();
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

  /** Passes signals on to the command. While no command runs, a stop signal ends `run` itself. */
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

  /** Ends the command, and then `run`. */
  endBy(name: (typeof STOPS)[number]): void {
    const isStopping = this.#stop.signal.aborted;
    if (isStopping && name === 'SIGINT' && sharedClockMs() - this.#stoppedAtMs > SAME_CTRL_C_MS) {
      this.#narrator.say('command.hurried', {}, 'Ctrl-C while stopping: not waiting any longer');
      if (this.#group === undefined) process.exit(EXIT.signalled + constants.signals[name]);
      this.#group.signal('SIGKILL');
      this.#hurry.abort();
      return;
    }
    if (!isStopping) this.#stoppedAtMs = sharedClockMs();
    this.#stopName ??= name;
    this.#group?.signal(name);
    if (this.#isGroupStopped) this.#resume(); // a stopped process handles the signal only after SIGCONT
    if (this.#group === undefined) this.finish(this.#endedWith ?? EXIT.signalled + constants.signals[name]);
    this.#stop.abort();
  }

  /** Handles Ctrl-Z. The group gets SIGSTOP, because SIGTSTP has no effect in its session. */
  #suspend(): void {
    this.#isGroupStopped = this.#group?.signal('SIGSTOP') === true;
    process.kill(process.pid, 'SIGSTOP');
  }

  /** Handles `fg`. If the term is over, {@link serve} ends the stopped group. */
  #resume(): void {
    if (!this.#isGroupStopped || this.#term?.isCurrent() !== true) return;
    this.#isGroupStopped = false;
    this.#group?.signal('SIGCONT');
  }

  /**
   * Runs the command, then kills the rest of its process group, and then waits for the end of `--hold`. The killed
   * processes get at most {@link KILL_WITHIN_MS} to end.
   */
  async serve(term: Term): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.hasServed = true;
    const { command, args, once } = this.#options;
    const env = { ...this.#env, ...termVariables(term, Date.now()) };
    const problem = whyNotStarted(command, env['PATH']);
    if (problem !== undefined) return this.#tellEnd(problem);
    const startedMs = sharedClockMs();
    const group = await ChildGroup.start(
      command,
      args,
      env,
      term,
      () => this.#limitsOf(term),
      (reason) => this.#tellUnguarded(reason),
    ).catch((error: Error) => error);
    if (group instanceof Error)
      return this.#tellEnd({ exitCode: EXIT.notExecutable, how: `could not be started: ${group.message}` });
    if (group === undefined) {
      if (once) this.finish(EXIT.noLeader); // the term ended before the command ran
      return;
    }
    this.#term = term;
    this.#group = group;
    if (this.#stopName !== undefined) group.signal(this.#stopName); // the signal arrived during the start
    this.#narrator.say(
      'command.started',
      { pid: group.pid, command },
      `started ${command} (process ${group.pid})`,
    );
    const end = await this.#oversee(term, group);
    // If the term is lost, the runner or the guardian may have stopped the command. Its exit code then says nothing.
    const lost = end === 'lost' || !term.isCurrent();
    const left = await group.killAll(KILL_WITHIN_MS);
    if (left !== 'none') this.#tellLeft(group.pid, left);
    this.#group = undefined;
    const { exitCode, how } = await Promise.race([group.ended, Promise.resolve(STUCK)]);
    this.#narrator.say('command.ended', { exitCode, lost }, `${command} ${how}`);
    this.#endedWith = lost ? undefined : exitCode;
    if (!lost) await this.#hold(term, startedMs);
    if (!lost || this.#stop.signal.aborted) this.finish(exitCode);
    else if (left === 'foreign') this.finish(EXIT.failed);
    else if (once) this.finish(EXIT.noLeader);
  }

  #tellLeft(group: number, left: Remainder): void {
    this.#narrator.logger.error(
      { event: 'command.immortal' },
      left === 'foreign'
        ? `run may not kill processes of group ${group}, because they run as another user. So run starts no second copy, and ends`
        : `processes of group ${group} still run after SIGKILL`,
    );
  }

  #tellUnguarded(reason: string): void {
    this.#narrator.logger.warn(
      { event: 'guardian.ended', reason },
      `the guardian process ended (${reason}), and the next renewal starts another one. Until then, the command can outlive run`,
    );
  }

  #tellEnd({ exitCode, how }: ChildEnd): void {
    const { command } = this.#options;
    this.#narrator.logger.error({ event: 'command.failed', exitCode, command }, `${command} ${how}`);
    this.finish(exitCode);
  }

  /** `--hold`: keeps the leadership, so that replicas that start late still find a leader. */
  async #hold(term: Term, startedMs: number): Promise<void> {
    const leftMs = this.#options.holdMs - (sharedClockMs() - startedMs);
    if (leftMs > 0) await clock.sleep(leftMs, AbortSignal.any([term.signal, this.#stop.signal]));
  }

  #limitsOf(term: Term): Omit<Order, 'group'> {
    return guardianLimits(sharedClockMs() + term.remainingMs(), this.#options.marginMs);
  }

  /** Waits until the command has ended, or its time to stop is over. */
  async #oversee(term: Term, group: ChildGroup): Promise<'ended' | 'lost' | 'stopped'> {
    const over = new AbortController();
    try {
      return await Promise.race([
        group.ended.then(() => 'ended' as const),
        this.#terminateWhenLost(term, group, over.signal),
        this.#untilStopIsOver(over.signal),
      ]);
    } finally {
      over.abort();
    }
  }

  async #terminateWhenLost(term: Term, group: ChildGroup, over: AbortSignal): Promise<'lost'> {
    const untilMs = await this.#moveUntilLost(term, group, over);
    if (over.aborted) return 'lost';
    const reason = (term.signal.reason as LeadershipLostError).reason;
    // A deadline that is noticed late leaves less time to stop. After any other loss, the command gets its full time,
    // although another replica may lead already.
    const lateMs = reason === 'deadline-passed' ? sharedClockMs() - untilMs : 0;
    const leftMs = graceMs(this.#options.marginMs, lateMs);
    group.moveDeadline({ terminateAtMs: null, killAtMs: sharedClockMs() + leftMs });
    group.signal('SIGTERM');
    // A stopped group cannot handle SIGTERM. So it is continued, but only if time is left.
    if (this.#isGroupStopped && leftMs > 0) group.signal('SIGCONT');
    this.#isGroupStopped = false;
    await Promise.race([group.ended, clock.sleep(leftMs, over)]);
    return 'lost';
  }

  /**
   * Moves the guardian's deadline after every renewal.
   *
   * @returns the term's last known deadline, or a slightly earlier time.
   */
  async #moveUntilLost(term: Term, group: ChildGroup, over: AbortSignal): Promise<number> {
    let untilMs = sharedClockMs() + term.remainingMs();
    const ended = AbortSignal.any([term.signal, over]);
    // The guardian's order may be older than this deadline.
    if (!ended.aborted) group.moveDeadline(guardianLimits(untilMs, this.#options.marginMs));
    while (!ended.aborted) {
      const remainingMs = term.remainingMs();
      const nowMs = sharedClockMs();
      if (remainingMs > 0 && nowMs + remainingMs > untilMs + MOVE_STEP_MS) {
        untilMs = nowMs + remainingMs;
        group.moveDeadline(guardianLimits(untilMs, this.#options.marginMs));
      }
      await clock.sleep(MOVE_EVERY_MS, ended);
    }
    return untilMs;
  }

  async #untilStopIsOver(over: AbortSignal): Promise<'stopped'> {
    await untilAny([this.#stop.signal, over], untilAborted);
    await untilAny([this.#hurry.signal, over], (signal) => clock.sleep(this.#options.stopTimeoutMs, signal));
    return 'stopped';
  }
}

/** How often to look for a new deadline: more often than the shortest lease is renewed. */
const MOVE_EVERY_MS = 250;
/**
 * The guardian gets a new deadline only if it is later by more than this. The shared clock counts in steps, so a smaller
 * difference may come from a step.
 */
const MOVE_STEP_MS = 50;
