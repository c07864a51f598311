/**
 * `etcd-election run NAME -- COMMAND`: runs a command only while this replica leads.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readFileSync } from 'node:fs';
import { Election, ElectionClosedError } from '../../index.ts';
import type { EventOf } from '../../events.ts';
import { after } from '../../util/clock.ts';
import { withEtcd } from '../connect.ts';
import { narratorFor, type Narrator } from '../narrator.ts';
import { tellLostVariables } from './lost-variables.ts';
import { inWordsOfRun, tellLongTtl } from './run-lines.ts';
import { KILL_WITHIN_MS, parseRun, type RunOptions } from './run-options.ts';
import { Runner } from './runner.ts';
import type { Terminal } from '../terminal.ts';

export { usage } from './run-options.ts';

export async function run(args: readonly string[], terminal: Terminal): Promise<number> {
  const options = parseRun(args, terminal.env);
  const narrator = narratorFor(terminal, { json: options.line.json, quiet: options.quiet });
  tellLongTtl(options, narrator.logger);
  tellLostVariables(terminal.env, narrator.logger);
  return await withEtcd(options.line, terminal, async (client) => {
    const runner = new Runner(options, terminal, narrator);
    using _signals = runner.listen();
    using _refusal = onRefused(options.name, (error) => runner.fail(error));
    using _parent = endWithNpm(runner);
    using _patience = waitAtMost(options, narrator, runner);
    await using election = new Election(client, options.name, {
      ttlSeconds: options.ttlSeconds,
      allowLongTtl: true, // the command has its own limit, and its own warning
      prefix: options.line.prefix,
      marginMs: options.marginMs,
      drainTimeoutMs: options.stopTimeoutMs + KILL_WITHIN_MS,
      logger: inWordsOfRun(narrator.logger),
      onLeader: (term) => runner.serve(term),
    });
    election.campaign(options.value).catch((error: unknown) => {
      if (!(error instanceof ElectionClosedError)) runner.fail(error);
    });
    return await runner.finished;
  });
}

/** Ends `run` with the error if the campaign is refused. */
function onRefused(name: string, fail: (error: unknown) => void): Disposable {
  return listening('campaign.ended', ({ election, reason, error }) => {
    if (election === name && reason === 'refused') fail(error);
  });
}

/** `--if-free` and `--wait`: ends the runner if no term has begun in time. */
function waitAtMost(options: RunOptions, narrator: Narrator, runner: Runner): Disposable {
  const { name, waitMs, conflictCode, line } = options;
  if (waitMs === undefined) return { [Symbol.dispose]: () => undefined };
  const startedMs = performance.now();
  const timers: (() => void)[] = [];
  let hasEntered = false;
  const giveUp = (): void => {
    if (runner.hasServed) return;
    const why = waitMs === 0 ? 'has a leader' : `still has another leader after ${waitMs / 1_000} s`;
    narrator.say('run.not-free', { election: name, waitedMs: waitMs }, `"${name}" ${why}; command not run`);
    runner.finish(conflictCode);
  };
  const entered = listening('candidate.entered', ({ election, position }) => {
    if (election !== name || position === 1) return;
    const leftMs = waitMs - (performance.now() - startedMs);
    if (leftMs <= 0) giveUp();
    else if (!hasEntered) timers.push(after(leftMs, giveUp));
    hasEntered = true;
  });
  // A short wait must not end before etcd has had time to answer one request.
  const patienceMs = Math.max(waitMs, line.connection.timeoutMs);
  let cause = `no answer within ${patienceMs / 1_000} s`;
  const outage = listening('session.unavailable', ({ reason }) => (cause = reason));
  const isUnanswered = (): boolean => !hasEntered && !runner.hasServed;
  timers.push(after(patienceMs, () => isUnanswered() && runner.fail(new Error(cause))));
  return {
    [Symbol.dispose](): void {
      for (const cancel of timers) cancel();
      entered[Symbol.dispose]();
      outage[Symbol.dispose]();
    },
  };
}

const PARENT_EVERY_MS = 500;

/** For `npx etcd-election run`: npm does not pass SIGTERM on, but ends. So the end of npm counts as SIGTERM. */
function endWithNpm(runner: Runner): Disposable {
  const parent = process.ppid;
  if (!titleOf(parent).startsWith('npm ')) return { [Symbol.dispose]: () => undefined };
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    runner.endBy('SIGTERM');
  }, PARENT_EVERY_MS);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** The command line of a process, as `ps` shows it; empty if there is no /proc. */
function titleOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

function listening<T extends 'campaign.ended' | 'candidate.entered' | 'session.unavailable'>(
  type: T,
  listener: (event: EventOf<T>) => void,
): Disposable {
  const onMessage = (message: unknown): void => listener(message as EventOf<T>);
  subscribe(`etcd-election:${type}`, onMessage);
  return { [Symbol.dispose]: () => void unsubscribe(`etcd-election:${type}`, onMessage) };
}
