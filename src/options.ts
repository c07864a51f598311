/**
 * The options of an election: their public documentation, and the schemas that check them.
 */
import { defaultMarginMs, UNUSUAL_TTL_SECONDS } from './core/deadline.ts';
import { consoleLogger } from './logging/console-logger.ts';
import { commonName, prefixProblem } from './core/names.ts';
import type { Candidate } from './core/candidate.ts';
import { A_SIGNAL, isAbortSignal } from './util/abort.ts';
import { isObject } from './core/shown.ts';
import {
  callback,
  flag,
  oneOf,
  only,
  optional,
  readFields,
  ruled,
  whole,
  type Values,
} from './util/option-fields.ts';
import { InvalidInputError } from './errors.ts';
import type { Logger } from './events.ts';
import { defaultGuardSettings, type GuardSettings } from './loop-guard/loop-guard.ts';
import type { Term } from './term/term.ts';

/**
 * Settings of the loop guard. A round is one attempt to enter the queue. A campaign makes a round at its start, after each
 * loss, and after each failure.
 */
export interface GuardOptions {
  /** How many rounds are not delayed. Default: 5. Range: 1 to 20. */
  burst?: number | undefined;
  /**
   * Shortest delay after the burst, in milliseconds. The first delay is random, and at most three times as long. Default: 250.
   * Range: 100 to 60 000.
   */
  baseMs?: number | undefined;
  /**
   * Longest delay after rounds that your own code ends, in milliseconds. If several clients of one process campaign in one
   * election, a round may wait up to twice as long. Default: 30 000. Range: 2 500 to 3 600 000, not below `baseMs`.
   */
  capMs?: number | undefined;
  /**
   * Longest delay if etcd, the network or an operator ends the rounds, in milliseconds. The campaign may still wait this long
   * after the cause is gone. Default: 2 500. Range: 1 000 to 60 000, not below `baseMs`.
   */
  outsideCapMs?: number | undefined;
  /**
   * After a term of this length, in milliseconds, the guard forgets all earlier rounds. An undisturbed wait of this length in
   * the queue has the same effect. The guard also forgets one round for each pause of this length between two rounds. Before a
   * call of `campaign()` or `lead()`, a pause of 1.5 s is enough to forget one round. Default: 30 000. Range: 5 000 to
   * 3 600 000.
   */
  healthyAfterMs?: number | undefined;
}

export interface ElectionOptions {
  /**
   * Lease time-to-live, in whole seconds. After the leader's process has died, the election can be without a leader for about
   * this long. A shorter TTL means more keep-alives (three per TTL), and a slow etcd ends terms sooner. The TTL that etcd
   * grants may be longer: an etcd with default settings grants at least 2 s. Default: 10. Range: 1 to 3 600, or to 86 400 with
   * `allowLongTtl`. Above 300 a warning is logged.
   */
  ttlSeconds?: number | undefined;
  /**
   * Confirms that a TTL above 300 is intended: no warning is logged, and up to 86 400 is accepted. Without this option, a TTL
   * above 3 600 is refused, because it was probably meant in milliseconds. Default: `false`.
   */
  allowLongTtl?: boolean | undefined;
  /**
   * Text before the name of the election in every key: empty, or ending with `/`. A `/` at the start counts: `/app/` and
   * `app/` are different prefixes. It must not contain `//`, NUL, blanks at the edges of a part, or the text of an unset variable
   * (`undefined`). At most 1 KiB of UTF-8. Default: `election/`.
   */
  prefix?: string | undefined;
  /**
   * Called when a term begins. It may be async; its promise is the work. The term continues after the work ends; see
   * `whenWorkEnds`. If `onLeader` returns a function or a disposable object, that is the clean-up for the end of the term. If
   * `onLeader` throws or rejects, we step down and enter again, delayed by the loop guard.
   *
   * When the term ends, `term.signal` aborts. The library awaits the work and everything registered with the term. Then it
   * calls and awaits `onFollower`. Then it deletes the key. The waits take at most `drainTimeoutMs` together. If the work still
   * runs after three quarters of that time, `onFollower` is called to stop it.
   */
  onLeader?: ((term: Term) => unknown) | undefined;
  /**
   * Called at the end of our term, before the key is deleted. If we have not led yet, it is called when we begin to wait behind
   * another candidate. The callback may be async, and the library awaits it. So stop here what `onLeader` started. The argument
   * is the present or the next leader; undefined if none is known. `onFollower` is not called again when the leader changes. To
   * follow the leader, use `onLeaderChange`.
   */
  onFollower?: ((leader: Candidate | undefined) => unknown) | undefined;
  /**
   * Called when the leader or its value changes, while we wait in the queue or lead. If the argument is our own candidate, our
   * term has begun. The argument is undefined if there is no leader, if the leader is unknown, and when our own term ends.
   * Behind more than eight candidates, some changes may be skipped. The callback is never awaited.
   */
  onLeaderChange?: ((leader: Candidate | undefined) => unknown) | undefined;
  /**
   * What happens when the term has no work left: `onLeader` has returned, nothing registered with the term runs, and no
   * clean-up is registered. `'stay'` continues the term, for services that `onLeader` only starts. `'step-down'` ends the term,
   * so that another replica leads. Both report the event `work.ended`. With `'stay'` and `onFollower`, an `onLeader` that
   * returns within 5 s has probably started a service. The term then counts as still having work. Default: `'stay'`.
   */
  whenWorkEnds?: 'stay' | 'step-down' | undefined;
  /**
   * The logger: a pino logger, `console`, or any object with pino's methods (fields first, text second). The guide
   * (docs/guide.md) has an adapter for winston. Default: pino, as JSON to standard output.
   */
  logger?: Logger | undefined;
  /**
   * This replica ends its term this long before etcd can expire the lease, in milliseconds. The margin covers clocks that run
   * at different rates, and gives the work time to stop. Elections that share a lease use the largest of their margins.
   * Default: a tenth of the TTL that etcd grants. Range: 50 to less than half of the TTL.
   */
  marginMs?: number | undefined;
  /**
   * How long the end of a term waits for the work and for `onFollower`, in milliseconds. The work includes everything
   * registered with the term. After this time the key is deleted anyway. Default: the requested TTL less the margin. Range: 0
   * to 3 600 000.
   */
  drainTimeoutMs?: number | undefined;
  /**
   * A leader steps down if its work does not call `term.heartbeat()` for this long, in milliseconds. The lease does not prove
   * that the work makes progress. Default: off. Range: 100 to 86 400 000.
   */
  progressTimeoutMs?: number | undefined;
  /**
   * Starts a small helper process. It revokes the lease as soon as our process ends, even by a crash or `SIGKILL`. Then the
   * next leader need not wait for the TTL. docs/last-will.md says what it costs, and when it cannot help. Elections that share
   * a lease share the helper. Default: `false`.
   */
  lastWill?: boolean | undefined;
  /** Settings of the loop guard. The guard can be tuned, but not switched off. */
  guard?: GuardOptions | undefined;
  /** When this signal aborts, the election is closed for good. Default: none. */
  signal?: AbortSignal | undefined;
}

export interface Settings {
  readonly ttlSeconds: number;
  readonly prefix: string;
  readonly onLeader: ((term: Term) => unknown) | undefined;
  readonly onFollower: ((leader: Candidate | undefined) => unknown) | undefined;
  readonly onLeaderChange: ((leader: Candidate | undefined) => unknown) | undefined;
  readonly whenWorkEnds: 'stay' | 'step-down';
  readonly logger: Logger | undefined;
  readonly marginMs: number | undefined;
  readonly drainTimeoutMs: number;
  readonly progressTimeoutMs: number | undefined;
  readonly lastWill: boolean;
  readonly guard: GuardSettings;
  readonly signal: AbortSignal | undefined;
  /** Warnings about accepted but unusual options. */
  readonly warnings: readonly string[];
}

const DEFAULT_PREFIX = 'election/';

/** A longer TTL needs `allowLongTtl`. */
const LONG_TTL_SECONDS = 3_600;

const logMethods = ['trace', 'debug', 'info', 'warn', 'error'] as const;

const isLogger = (value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  logMethods.every((method) => typeof (value as Record<string, unknown>)[method] === 'function');

const fields = only({
  ttlSeconds: whole(1, 86_400, 10, ' (its unit is seconds)'),
  allowLongTtl: flag(false),
  prefix: ruled(prefixProblem, DEFAULT_PREFIX),
  onLeader: callback<NonNullable<Settings['onLeader']>>(),
  onFollower: callback<NonNullable<Settings['onFollower']>>(),
  onLeaderChange: callback<NonNullable<Settings['onLeaderChange']>>(),
  whenWorkEnds: oneOf('stay', 'step-down'),
  logger: optional<Logger>(
    `a pino logger, console, or an object with the methods ${logMethods.join(', ')} (docs/guide.md has an adapter for winston)`,
    isLogger,
  ),
  marginMs: whole(50, 86_400_000, undefined),
  drainTimeoutMs: whole(0, 3_600_000, undefined),
  progressTimeoutMs: whole(100, 86_400_000, undefined),
  lastWill: flag(false),
  guard: optional<GuardOptions>('an object (the guard can be tuned, not switched off)', isObject),
  signal: optional<AbortSignal>(A_SIGNAL, isAbortSignal),
});

const guardFields = only({
  burst: whole(1, 20, defaultGuardSettings.burst),
  baseMs: whole(100, 60_000, defaultGuardSettings.baseMs),
  capMs: whole(2_500, 3_600_000, defaultGuardSettings.capMs),
  outsideCapMs: whole(1_000, 60_000, defaultGuardSettings.outsideCapMs),
  healthyAfterMs: whole(5_000, 3_600_000, defaultGuardSettings.healthyAfterMs),
});

/** @throws {InvalidInputError} that names the option, the expected value and the actual one. */
export function resolveOptions(election: string, options: ElectionOptions | undefined): Settings {
  const complaints: string[] = [];
  const values = readFields(fields, options, 'options', complaints);
  const ownGuard = guardOptionsIn(options);
  const guard =
    ownGuard === undefined
      ? defaultGuardSettings
      : readFields(guardFields, ownGuard, 'options.guard', complaints);
  if (values !== undefined && guard !== undefined) complaints.push(...contradictions(values, guard));
  if (values === undefined || guard === undefined || complaints.length > 0)
    throw new InvalidInputError(
      election,
      `election "${election}" cannot be set up: ${complaints.join('; ')}`,
    );
  const { ttlSeconds, prefix, logger, marginMs } = values;
  // Names every field: a spread would give every election its own object shape, of over a kilobyte.
  return {
    ttlSeconds,
    prefix,
    onLeader: values.onLeader,
    onFollower: values.onFollower,
    onLeaderChange: values.onLeaderChange,
    whenWorkEnds: values.whenWorkEnds,
    logger: (logger as unknown) === console ? consoleLogger : logger,
    marginMs,
    drainTimeoutMs: values.drainTimeoutMs ?? ttlSeconds * 1000 - (marginMs ?? defaultMarginMs(ttlSeconds)),
    progressTimeoutMs: values.progressTimeoutMs,
    lastWill: values.lastWill,
    guard,
    signal: values.signal,
    warnings: [
      values.allowLongTtl ? undefined : ttlWarning(ttlSeconds),
      prefix === DEFAULT_PREFIX ? commonName(election) : undefined,
    ].filter((warning) => warning !== undefined),
  };
}

/** The user's `guard`. It is read separately, so that a wrong option elsewhere does not hide a wrong one in `guard`. */
const guardOptionsIn = (options: unknown): unknown =>
  isObject(options) && isObject(options['guard']) ? options['guard'] : undefined;

/** Finds options that are valid one by one but contradict each other. */
function contradictions(
  { ttlSeconds, allowLongTtl, marginMs }: Values<typeof fields>,
  { baseMs, capMs, outsideCapMs }: GuardSettings,
): string[] {
  const found: string[] = [];
  const expect = (isRight: boolean, field: string, expected: string, got: number): void => {
    if (!isRight) found.push(`options.${field}: expected ${expected}, got ${got}`);
  };
  const longTtl = `at most ${LONG_TTL_SECONDS}: its unit is seconds (if such a long TTL is intended, set allowLongTtl: true)`;
  expect(allowLongTtl || ttlSeconds <= LONG_TTL_SECONDS, 'ttlSeconds', longTtl, ttlSeconds);
  const halfTtl = 'less than half of the TTL (otherwise one late keep-alive would end the term)';
  expect(marginMs === undefined || marginMs < ttlSeconds * 500, 'marginMs', halfTtl, marginMs ?? 0);
  expect(baseMs <= capMs, 'guard.capMs', 'at least baseMs', capMs);
  expect(baseMs <= outsideCapMs, 'guard.outsideCapMs', 'at least baseMs', outsideCapMs);
  return found;
}

const ttlWarning = (ttlSeconds: number): string | undefined =>
  ttlSeconds <= UNUSUAL_TTL_SECONDS
    ? undefined
    : `ttlSeconds is ${ttlSeconds}: after a crash nobody leads for up to ${Math.round(ttlSeconds / 60)} minutes; set allowLongTtl: true if that is intended`;
