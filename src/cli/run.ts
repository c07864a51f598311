/**
 * `etcd-election run NAME -- COMMAND`: runs a command only while this replica leads.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Election, type Logger } from '../index.ts';
import type { EventOf } from '../events.ts';
import { withEtcd } from './connect.ts';
import { narratorFor, type Narrator } from './narrator.ts';
import { parseRun, type RunOptions } from './run-options.ts';
import { BURIAL_MS, Runner } from './runner.ts';
import type { Terminal } from './terminal.ts';

export { usage } from './run-options.ts';

export async function run(args: readonly string[], terminal: Terminal): Promise<number> {
  const options = parseRun(args, terminal.env);
  const narrator = narratorFor(terminal, { json: options.line.json, quiet: options.quiet });
  return await withEtcd(options.line, terminal, async (client) => {
    const runner = new Runner(options, terminal, narrator);
    using _signals = runner.listen();
    using _refusal = onRefused(options.name, (error) => runner.fail(error));
    using _parent = endWithNpm(runner);
    using _patience = waitAtMost(options, narrator, runner);
    await using election = new Election(client, options.name, {
      ttlSeconds: options.ttlSeconds,
      prefix: options.line.prefix,
      marginMs: options.marginMs,
      drainTimeoutMs: options.stopTimeoutMs + BURIAL_MS,
      logger: withoutRefusal(narrator.logger),
      onLeader: (term) => runner.serve(term),
    });
    election.campaign(options.value).catch(() => undefined); // the event reports the result
    return await runner.finished;
  });
}

/** Fails the command if etcd refuses for good, because then no term follows. */
function onRefused(name: string, fail: (error: unknown) => void): Disposable {
  return listening('campaign.ended', ({ election, reason, error }) => {
    if (election === name && reason === 'refused') fail(error);
  });
}

/** Leaves out the refusal that ends the command, because the command prints it at its end. */
function withoutRefusal(logger: Logger): Logger {
  const unlessRefused = (level: 'info' | 'warn' | 'error') => (fields: object, message: string) => {
    if ((fields as { event?: string }).event !== 'campaign.ended') logger[level](fields, message);
  };
  const [info, warn, error] = [unlessRefused('info'), unlessRefused('warn'), unlessRefused('error')];
  return { ...logger, info, warn, error };
}

/** `--if-free` and `--wait`: ends the runner if no term has begun in time. */
function waitAtMost(options: RunOptions, narrator: Narrator, runner: Runner): Disposable {
  const { name, waitMs, conflictCode, line } = options;
  if (waitMs === undefined) return { [Symbol.dispose]: () => undefined };
  const startedMs = performance.now();
  const over = new AbortController();
  const after = (ms: number, act: () => void): void =>
    void sleep(ms, undefined, { signal: over.signal }).then(act, () => undefined);
  let hasEntered = false;
  const giveUp = (): void => {
    if (runner.hasServed) return;
    const why = waitMs === 0 ? 'is taken' : `is still taken after ${waitMs / 1_000} s`;
    narrator.say('run.not-free', { election: name, waitedMs: waitMs }, `"${name}" ${why}: not run`);
    runner.finish(conflictCode);
  };
  const entered = listening('candidate.entered', ({ election, position }) => {
    if (election !== name || position === 1) return;
    const leftMs = waitMs - (performance.now() - startedMs);
    if (leftMs <= 0) giveUp();
    else if (!hasEntered) after(leftMs, giveUp);
    hasEntered = true;
  });
  // Even if the wait is shorter, etcd may take the time of one request to answer.
  const patienceMs = Math.max(waitMs, line.connection.timeoutMs);
  let cause = `no answer within ${patienceMs / 1_000} s`;
  const outage = listening('session.unavailable', ({ reason }) => (cause = reason));
  after(patienceMs, () => {
    if (!hasEntered && !runner.hasServed) runner.fail(new Error(cause));
  });
  return {
    [Symbol.dispose](): void {
      over.abort();
      entered[Symbol.dispose]();
      outage[Symbol.dispose]();
    },
  };
}

/** How often to check whether npm still runs, in milliseconds. */
const PARENT_EVERY_MS = 500;

/** `npx etcd-election run`: SIGTERM ends npm, which does not pass it on. So the end of npm counts as SIGTERM. */
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
