/**
 * The options of `run`, and the time by which its command must have ended. Pure.
 */
import type { Term } from '../index.ts';
import {
  milliseconds,
  oneName,
  parseCommand,
  UsageError,
  wholeNumber,
  type CommandLine,
  type Environment,
} from './arguments.ts';
import { EXIT } from './exit-codes.ts';
import type { Order } from './guardian.ts';

const flags = {
  ttl: { type: 'string' },
  grace: { type: 'string' },
  'stop-timeout': { type: 'string' },
  value: { type: 'string' },
  once: { type: 'boolean' },
  'if-free': { type: 'boolean' },
  wait: { type: 'string' },
  hold: { type: 'string' },
  'conflict-exit-code': { type: 'string' },
  quiet: { type: 'boolean', short: 'q' },
} as const;

export const usage = `Usage: etcd-election run NAME [flags] -- COMMAND [ARG…]

Stands in the election and runs the command while we lead, in a process group of its own. When the leadership is lost,
the group gets SIGTERM, then SIGKILL before the lease can expire; then we stand again. When the command ends by itself
the leadership is given up at once, and its exit code is ours. Signals are passed on to the group.

  --ttl SECONDS        lease time-to-live; default 10
  --grace TIME         what the command gets between SIGTERM and SIGKILL when the lease cannot be renewed; less than
                       half of the TTL; default three tenths of it
  --stop-timeout TIME  the same when we are asked to stop, while the lease is still renewed; default 10s
  --value TEXT         what the others see of us; default our IP address
  --once               do not stand again: end with code 3 when the leadership is lost
  --if-free            run only if nobody leads now, else end with code 4; for cron, as flock -n; implies --once
  --wait TIME          wait at most so long for our turn, else end with code 4; as flock -w; implies --once
  --hold TIME          keep the leadership at least so long after the start, even if the command ends sooner: a replica whose
                       clock is late finds it taken
  --conflict-exit-code N  instead of 4; as flock -E
  -q, --quiet          warnings only

In the command's environment: ETCD_ELECTION_NAME, ETCD_ELECTION_TOKEN (the fencing token), ETCD_ELECTION_KEY,
ETCD_ELECTION_LEASE (in hex, as etcdctl has it), and ETCD_ELECTION_VALID_UNTIL (Unix time in milliseconds until which
the term is valid without another renewal, as of the start).

The command has no controlling terminal: it cannot ask for a password on /dev/tty. Ctrl-Z stops it together with us;
if the lease would run out meanwhile, a guardian process ends it. A second Ctrl-C kills it at once.

Exit code: the command's own; 128 + N if signal N ended it; 126 or 127 if it could not be started.`;

export interface RunOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly ttlSeconds: number;
  /** Time from the loss until etcd may let another replica lead, in milliseconds. */
  readonly marginMs: number;
  readonly stopTimeoutMs: number;
  readonly value: string | undefined;
  readonly once: boolean;
  /** How long to wait for the first term, in milliseconds; 0 for not at all, undefined for no limit. */
  readonly waitMs: number | undefined;
  /** How long to keep the leadership, counted from the start of the command, in milliseconds. */
  readonly holdMs: number;
  /** Exit code if the first term has not begun in time. */
  readonly conflictCode: number;
  readonly quiet: boolean;
  readonly line: CommandLine;
}

/** @throws {UsageError} */
export function parseRun(args: readonly string[], env: Environment): RunOptions {
  const line = parsedWithHint(args, env);
  const [first, ...others] = line.words;
  if (line.rest === undefined && first !== undefined && others.length > 0)
    throw new UsageError(`put -- before the command: etcd-election run ${first} -- ${others.join(' ')}`);
  const name = oneName(line.words);
  const [command, ...rest] = line.rest ?? [];
  if (command === undefined) throw new UsageError('which command? Give it after --');
  const text = (flag: string): string | undefined => line.values[flag] as string | undefined;
  const ttlSeconds = wholeNumber('ttl', text('ttl') ?? '10', 1, 86_400);
  const grace = text('grace');
  const marginMs = grace === undefined ? ttlSeconds * 300 : milliseconds('grace', grace);
  if (marginMs < 50 || marginMs >= ttlSeconds * 500)
    throw new UsageError(
      `--grace: expected from 50ms to less than half of the TTL of ${ttlSeconds} s, got ${grace}`,
    );
  const isOnlyIfFree = line.values['if-free'] === true;
  const wait = text('wait');
  if (isOnlyIfFree && wait !== undefined)
    throw new UsageError('--if-free does not wait, and --wait does: give one of them');
  return {
    name,
    command,
    args: rest,
    ttlSeconds,
    marginMs,
    stopTimeoutMs: milliseconds('stop-timeout', text('stop-timeout') ?? '10s'),
    value: text('value'),
    once: line.values['once'] === true || isOnlyIfFree || wait !== undefined,
    waitMs: isOnlyIfFree ? 0 : wait === undefined ? undefined : milliseconds('wait', wait),
    holdMs: milliseconds('hold', text('hold') ?? '0'),
    conflictCode: wholeNumber(
      'conflict-exit-code',
      text('conflict-exit-code') ?? String(EXIT.notDone),
      0,
      255,
    ),
    quiet: line.values['quiet'] === true,
    line,
  };
}

/** Parses the arguments. An unknown flag may belong to the command if `--` is missing, so the error says that. */
function parsedWithHint(args: readonly string[], env: Environment): CommandLine {
  try {
    return parseCommand(args, env, flags);
  } catch (error) {
    if (args.includes('--') || !(error instanceof UsageError)) throw error;
    throw new UsageError(`${error.message}; the command and its own flags come after --`, { cause: error });
  }
}

/** The environment variables that describe the term to the command. */
export function termVariables(term: Term, nowMs: number): Record<string, string> {
  return {
    ETCD_ELECTION_NAME: term.election,
    ETCD_ELECTION_TOKEN: term.fencingToken.toString(),
    ETCD_ELECTION_KEY: term.key,
    ETCD_ELECTION_LEASE: BigInt(term.leaseId).toString(16),
    ETCD_ELECTION_VALID_UNTIL: Math.floor(nowMs + term.remainingMs()).toString(),
  };
}

/** Share of the margin that is reserved for SIGKILL to take effect. */
const RESERVE = 0.2;

/**
 * How long the group may take to stop by itself after the end of the term, in milliseconds.
 *
 * @param lateMs how late the end was noticed, in milliseconds. It shortens the margin.
 */
export const graceMs = (marginMs: number, lateMs: number): number =>
  Math.max(0, marginMs * (1 - RESERVE) - Math.max(0, lateMs));

/** Share of the margin in which the guardian waits for the runner to act. */
const HEAD_START = 0.1;

/** When the guardian acts if the runner is silent: SIGTERM soon after the end of the term, SIGKILL after {@link graceMs}. */
export const guardianLimits = (untilMs: number, marginMs: number): Omit<Order, 'group'> => ({
  terminateAtMs: untilMs + marginMs * HEAD_START,
  killAtMs: untilMs + graceMs(marginMs, 0),
});
