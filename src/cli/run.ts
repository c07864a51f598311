/**
 * `etcd-election run NAME -- COMMAND`: a command that runs only while we lead.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Election, LeadershipLostError, type Term } from '../index.ts';
import type { EventOf } from '../events.ts';
import { ChildGroup, type ChildEnd } from './child-group.ts';
import { connected } from './connect.ts';
import { EXIT } from './exit-codes.ts';
import { narratorFor, type Narrator } from './narrator.ts';
import { graceMs, parseRun, termVariables, type RunOptions } from './run-options.ts';
import type { Terminal } from './terminal.ts';

export { usage } from './run-options.ts';

/** These end us; the others are only passed on. */
const STOPS = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'] as const;
const PASSED_ON = ['SIGUSR1', 'SIGUSR2', 'SIGWINCH'] as const;

/** How long SIGKILL may take to clear a group: longer only where the kernel holds a process. */
const BURIAL_MS = 5_000;

export async function run(args: readonly string[], terminal: Terminal): Promise<number> {
  const options = parseRun(args, terminal.env);
  const narrator = narratorFor(terminal, { json: options.line.json, quiet: options.quiet });
  return await connected(options.line.connection, async (client) => {
    const runner = new Runner(options, terminal, narrator);
    using _signals = runner.listen();
    await using election = new Election(client, options.name, {
      ttlSeconds: options.ttlSeconds,
      prefix: options.line.prefix,
      marginMs: options.marginMs,
      drainTimeoutMs: options.stopTimeoutMs + BURIAL_MS,
      logger: narrator.logger,
      onLeader: (term) => runner.serve(term),
    });
    election.campaign(options.value).catch(() => undefined); // how it ends is told below
    return await runner.finished;
  });
}

class Runner {
  readonly #options: RunOptions;
  readonly #env: Terminal['env'];
  readonly #narrator: Narrator;
  readonly finished: Promise<number>;
  #finish: (exitCode: number) => void = () => undefined;
  #fail: (error: unknown) => void = () => undefined;
  #group: ChildGroup | undefined;
  /** Aborts when somebody asks us to end. */
  readonly #stop = new AbortController();

  constructor(options: RunOptions, terminal: Terminal, narrator: Narrator) {
    this.#options = options;
    this.#env = terminal.env;
    this.#narrator = narrator;
    this.finished = new Promise((resolve, reject) => {
      this.#finish = resolve;
      this.#fail = reject;
    });
  }

  /**
   * Signals for us are signals for the command; until it runs, those that stop us do just that. And where etcd refuses
   * us for good, now or later, nobody will ever call us again.
   */
  listen(): Disposable {
    const onCampaignEnded = (message: unknown): void => {
      const { election, because, error } = message as EventOf<'campaign.ended'>;
      if (election === this.#options.name && because === 'refused') this.#fail(error);
    };
    subscribe('etcd-election:campaign.ended', onCampaignEnded);
    const listeners = [...STOPS, ...PASSED_ON].map((name) => {
      const stops = (STOPS as readonly string[]).includes(name);
      const listener = (): void => {
        this.#group?.signal(name);
        if (!stops) return;
        if (this.#group === undefined) this.#finish(EXIT.signalled + constants.signals[name]);
        this.#stop.abort();
      };
      process.on(name, listener);
      return { name, listener };
    });
    return {
      [Symbol.dispose](): void {
        for (const { name, listener } of listeners) process.off(name, listener);
        unsubscribe('etcd-election:campaign.ended', onCampaignEnded);
      },
    };
  }

  /** The work of a term: settles only when nobody of the group is left, and only then is the seat free. */
  async serve(term: Term): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const { command, args, once } = this.#options;
    const validity = new Validity(term);
    const group = new ChildGroup(command, args, { ...this.#env, ...termVariables(term, Date.now()) });
    this.#group = group;
    if (group.pid !== undefined)
      this.#narrator.say(
        'command.started',
        { pid: group.pid, command },
        `started ${command} (process ${group.pid})`,
      );
    const end = await this.#oversee(term, group, validity);
    validity.stop();
    // A command that we have asked to stop has not ended by itself, whatever its code.
    const lost = end === 'lost' || term.signal.aborted;
    if (!(await group.bury(BURIAL_MS)))
      this.#narrator.logger.error(
        { event: 'command.immortal' },
        `processes of group ${group.pid} survive SIGKILL`,
      );
    this.#group = undefined;
    const { exitCode, how } = end === 'lost' ? await group.ended : end;
    this.#narrator.say('command.ended', { exitCode, lost }, `${command} ${how}`);
    if (!lost || this.#stop.signal.aborted) this.#finish(exitCode);
    else if (once) this.#finish(EXIT.noLeader);
  }

  /** Until the command is dead, or the time is up that it gets for that. */
  async #oversee(term: Term, group: ChildGroup, validity: Validity): Promise<ChildEnd | 'lost'> {
    const over = new AbortController();
    try {
      return await Promise.race([
        group.ended,
        this.#killWhenLost(term, group, validity, over.signal),
        this.#killWhenStopped(group, over.signal),
      ]);
    } finally {
      over.abort();
    }
  }

  async #killWhenLost(term: Term, group: ChildGroup, validity: Validity, over: AbortSignal): Promise<'lost'> {
    await aborted(term.signal);
    group.signal('SIGTERM');
    const because = (term.signal.reason as LeadershipLostError).because;
    // Whoever took the key or the lease from us has given the seat away already; still, let it end in good order.
    const lateMs = because === 'deadline-passed' ? validity.lateMs() : 0;
    await Promise.race([group.ended, pause(graceMs(this.#options.marginMs, lateMs), over)]);
    return 'lost';
  }

  async #killWhenStopped(group: ChildGroup, over: AbortSignal): Promise<ChildEnd> {
    await aborted(this.#stop.signal);
    await pause(this.#options.stopTimeoutMs, over);
    if (!over.aborted) group.signal('SIGKILL');
    return await group.ended;
  }
}

/** Remembers until when the term was valid, so that its end tells how late it was noticed. */
class Validity {
  readonly #term: Term;
  readonly #timer: NodeJS.Timeout;
  #untilMs = 0;

  constructor(term: Term) {
    this.#term = term;
    this.#look();
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS);
  }

  /** Never less than it really is: a renewal that we have not seen yet only makes us cautious. */
  lateMs(): number {
    return performance.now() - this.#untilMs;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const remainingMs = this.#term.remainingMs();
    if (remainingMs > 0) this.#untilMs = performance.now() + remainingMs;
  }
}

const LOOK_EVERY_MS = 250;

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  sleep(ms, undefined, { signal }).catch(() => undefined);
