/**
 * The options of `run`, and the time by which its command must have ended. Pure.
 */
import { LONGEST_VALUE_BYTES } from '../../etcd/candidate-kv.ts';
import type { Term } from '../../index.ts';
import {
  milliseconds,
  oneName,
  parseCommand,
  UsageError,
  wholeNumber,
  type CommandLine,
  type Environment,
} from '../arguments.ts';
import { EXIT } from '../exit-codes.ts';
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

Enters the election, and runs the command while this replica leads. The command runs in its own process group, and signals
are passed on to that group. When the leadership is lost, the group gets SIGTERM, and SIGKILL before the lease can expire.
After that, this program enters the election again. When the command ends by itself, the program releases the leadership and
ends with the exit code of the command.

  --ttl SECONDS        lease time-to-live, 1 to 3600; default 10
  --grace TIME         time from the end of the term until the lease can expire. The command gets SIGTERM when this time
                       begins, and SIGKILL before it ends. Less than half of the TTL; default three tenths of the TTL
  --stop-timeout TIME  how long the command may go on after a stop signal to this program; then the command gets SIGKILL.
                       The lease is kept until the command has ended; default 10s
  --value TEXT         what other replicas see of this one; default our address and process ID, such as 10.0.0.5:4711
  --once               do not enter again: end with code 3 when the leadership is lost
  --if-free            run only if there is no leader, else end with code 4; for cron, like flock -n; implies --once
  --wait TIME          wait at most this long for our turn (up to 24 days), else end with code 4; like flock -w; implies
                       --once
  --hold TIME          keep the leadership at least this long after the start, even if the command ends sooner; for cron on
                       hosts whose clocks differ
  --conflict-exit-code N  exit code for --if-free and --wait, instead of 4; like flock -E
  -q, --quiet          print warnings and errors only

The command gets these environment variables: ETCD_ELECTION_NAME, ETCD_ELECTION_TOKEN (the fencing token), ETCD_ELECTION_KEY,
ETCD_ELECTION_LEASE (in hex, as in etcdctl), and ETCD_ELECTION_VALID_UNTIL. The last one is a Unix time in milliseconds:
the time until which the term lasts without another renewal, as known when the command starts.

The command has no controlling terminal, so it cannot ask for a password on /dev/tty. Ctrl-Z stops it together with run. If
the lease is about to expire meanwhile, a guardian process ends the command. A second Ctrl-C kills the command at once.

Exit code: that of the command; 128 + N if signal N ended it; 126 or 127 if it could not be started.`;

export interface RunOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly ttlSeconds: number;
  /** Time from the end of the term until the lease can expire. */
  readonly marginMs: number;
  readonly stopTimeoutMs: number;
  readonly value: string | undefined;
  readonly once: boolean;
  /** How long to wait for the first term. 0 means no wait, undefined means no limit. */
  readonly waitMs: number | undefined;
  /** How long to keep the leadership, counted from the start of the command. */
  readonly holdMs: number;
  /** Exit code if the first term does not begin in time. */
  readonly conflictCode: number;
  readonly quiet: boolean;
  readonly line: CommandLine;
}

/** How long to wait after SIGKILL until a group is empty. */
export const KILL_WITHIN_MS = 5_000;

/** Longest `--stop-timeout`, in milliseconds. The sum of it and {@link KILL_WITHIN_MS} is below the largest `drainTimeoutMs`. */
const LONGEST_STOP_MS = 59 * 60_000;
/** Longest `--grace`, `--wait` and `--hold`, in milliseconds: 24 days, near the longest timer of Node. */
const LONGEST_MS = 24 * 86_400_000;

/** @throws {UsageError} */
function announced(value: string | undefined): string | undefined {
  const bytes = Buffer.byteLength(value ?? '');
  if (bytes > LONGEST_VALUE_BYTES)
    throw new UsageError(`--value: expected at most ${LONGEST_VALUE_BYTES} bytes, got ${bytes}`);
  return value;
}

/** @throws {UsageError} */
export function parseRun(args: readonly string[], env: Environment): RunOptions {
  const line = parsedWithHint(args, env);
  const [first, ...others] = line.words;
  if (line.rest === undefined && first !== undefined && others.length > 0)
    throw new UsageError(`put -- before the command: etcd-election run ${first} -- ${others.join(' ')}`);
  const name = oneName(line.words);
  const [command, ...rest] = line.rest ?? [];
  if (command === undefined) throw new UsageError('the COMMAND is missing: give it after --');
  const text = (flag: string): string | undefined => line.values[flag] as string | undefined;
  const ttlSeconds = wholeNumber('ttl', text('ttl') ?? '10', 1, 3_600);
  const grace = text('grace');
  const marginMs = grace === undefined ? ttlSeconds * 300 : milliseconds('grace', grace, 0, LONGEST_MS);
  if (marginMs < 50 || marginMs >= ttlSeconds * 500)
    throw new UsageError(
      `--grace: expected from 50ms to less than half of the TTL of ${ttlSeconds} s, got ${grace}`,
    );
  const isOnlyIfFree = line.values['if-free'] === true;
  const wait = text('wait');
  if (isOnlyIfFree && wait !== undefined)
    throw new UsageError('--if-free and --wait exclude each other: give only one of them');
  return {
    name,
    command,
    args: rest,
    ttlSeconds,
    marginMs,
    stopTimeoutMs: milliseconds('stop-timeout', text('stop-timeout') ?? '10s', 0, LONGEST_STOP_MS),
    value: announced(text('value')),
    once: line.values['once'] === true || isOnlyIfFree || wait !== undefined,
    waitMs: isOnlyIfFree ? 0 : wait === undefined ? undefined : milliseconds('wait', wait, 0, LONGEST_MS),
    holdMs: milliseconds('hold', text('hold') ?? '0', 0, LONGEST_MS),
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

/** Parses the arguments. Without `--`, an unknown flag may belong to the command. */
function parsedWithHint(args: readonly string[], env: Environment): CommandLine {
  try {
    return parseCommand(args, env, flags);
  } catch (error) {
    if (args.includes('--') || !(error instanceof UsageError)) throw error;
    throw new UsageError(`${error.message}; the command and its own flags come after --`, { cause: error });
  }
}

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
 * @param lateMs how late the end was noticed. The result is shorter by this time.
 */
export const graceMs = (marginMs: number, lateMs: number): number =>
  Math.max(0, marginMs * (1 - RESERVE) - Math.max(0, lateMs));

/** Share of the margin in which the guardian waits for the runner to act first. */
const HEAD_START = 0.1;

/** When the guardian acts: SIGTERM soon after the end of the term, SIGKILL after {@link graceMs}. */
export const guardianLimits = (untilMs: number, marginMs: number): Omit<Order, 'group'> => ({
  terminateAtMs: untilMs + marginMs * HEAD_START,
  killAtMs: untilMs + graceMs(marginMs, 0),
});
