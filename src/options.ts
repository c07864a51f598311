/**
 * What users can set, in words for people; behind it the fields that check it.
 */
import { defaultMarginMs } from './core/deadline.ts';
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

export interface GuardOptions {
  /** Rounds that go at once before the first hold. Default: 5. Range: 1 to 20. */
  burst?: number | undefined;
  /** First delay after the burst, in milliseconds. Default: 250. Range: 100 to 60 000. */
  baseMs?: number | undefined;
  /**
   * Longest delay of rounds that are spoilt by our own work or by the caller's loop, in milliseconds.
   * Default: 30 000. Range: 2 500 to 3 600 000, not below `baseMs`.
   */
  capMs?: number | undefined;
  /**
   * Longest delay of rounds that are spoilt by etcd, the network or an operator, in milliseconds; this long after
   * the cause is gone we may still wait. Default: 2 500. Range: 1 000 to 60 000, not below `baseMs`.
   */
  outsideCapMs?: number | undefined;
  /**
   * How long a term or an orderly wait must hold until the guard forgets what was before, in milliseconds; a quiet
   * spell of the same length between two rounds forgives one. Default: 30 000. Range: 5 000 to 3 600 000.
   */
  healthyAfterMs?: number | undefined;
}

export interface ElectionOptions {
  /**
   * Lease time-to-live, in whole seconds: how long the election can stay without a leader after the leader's
   * process died. Shorter means more keep-alives (one each third) and less patience with a slow etcd. etcd may
   * grant more than is asked, by default never less than 2. Default: 10. Range: 1 to 3 600, or 86 400 with
   * `allowLongTtl`. Above 300 a warning is logged.
   */
  ttlSeconds?: number | undefined;
  /**
   * Says that a TTL above 300 is meant: no warning, and up to 86 400 is accepted. It guards against milliseconds
   * that were passed as seconds. Default: `false`.
   */
  allowLongTtl?: boolean | undefined;
  /**
   * What comes before the election's name in every key. Empty, or ends with `/`. It may not begin with `/`, and may
   * not contain `//`, NUL, blanks at the edges of a part, or what a variable without a value leaves (`undefined`).
   * At most 1 KiB of UTF-8. Default: `election/`.
   */
  prefix?: string | undefined;
  /**
   * Called when a term begins; it may be async: its promise is the work. That it returns or resolves does not end
   * the term, see `whenWorkEnds`. A function or a disposable object that it returns is called or disposed of when the
   * term ends. If it throws or rejects, we step down and stand again, held back by the loop guard.
   *
   * When the term ends, `term.signal` aborts; the work, and what was registered with the term, is awaited; then
   * `onFollower` is called and awaited; only then the key is given up: all within `drainTimeoutMs`. Never overlaps
   * with `onFollower`, and always takes turns with it.
   */
  onLeader?: ((term: Term) => unknown) | undefined;
  /**
   * Called once for each spell in which we do not lead: when we become a candidate behind another, and at the end of
   * each term of ours, before the key is given up. It may be async; it is awaited, so stop here what `onLeader`
   * started. Gets the candidate that leads, or that leads next; undefined if none is known. To follow who leads, use
   * `onLeaderChange`.
   */
  onFollower?: ((leader: Candidate | undefined) => unknown) | undefined;
  /**
   * Called at every change of the leader, or of what the leader announces, while we are a candidate or lead, our own
   * terms included; undefined if nobody leads, or if it is not known who does. It is never awaited.
   */
  onLeaderChange?: ((leader: Candidate | undefined) => unknown) | undefined;
  /**
   * What happens when `onLeader` has returned, nothing that was registered with the term runs, and no clean-up is
   * registered: `'stay'` leads on, for services that `onLeader` only starts; `'step-down'` ends the term, so that
   * another replica leads. Both report the event `work.ended`, and `health().working` shows it. With `'stay'`, an
   * `onLeader` that returns soon while there is an `onFollower` counts as work that goes on. Default: `'stay'`.
   */
  whenWorkEnds?: 'stay' | 'step-down' | undefined;
  /**
   * Where log lines go: a pino logger, `console`, or anything with pino's methods, fields first and text second. For
   * winston there is an adapter in docs/guide.md. Default: pino, as JSON to standard output.
   */
  logger?: Logger | undefined;
  /**
   * How long before etcd can let the lease go we stop believing that we lead, in milliseconds: for clocks that
   * run at different rates, and for work to stop in. Elections that share a lease share the largest margin.
   * Default: a tenth of the TTL that etcd grants. Range: 50 to less than half of the TTL.
   */
  marginMs?: number | undefined;
  /**
   * How long the end of a term waits for the work, for what was registered with the term and for `onFollower`, before
   * it gives up the key all the same, in milliseconds. Default: the TTL less the margin. Range: 0 to 3 600 000.
   */
  drainTimeoutMs?: number | undefined;
  /**
   * A leader whose work does not call `term.heartbeat()` for this long steps down, in milliseconds: a lease proves
   * that we reach etcd, not that we work. Default: off. Range: 100 to 86 400 000.
   */
  progressTimeoutMs?: number | undefined;
  /**
   * A small helper process gives our lease back as soon as our process is gone, however it went (crash, `SIGKILL`,
   * out of memory), so that the next leader need not wait for the TTL: see docs/last-will.md for what it costs and
   * where it cannot help. Elections that share a lease share it. Default: `false`.
   */
  lastWill?: boolean | undefined;
  /** The loop guard. It can be tuned, not switched off. */
  guard?: GuardOptions | undefined;
  /** When it aborts, the election closes. */
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
  /** What is accepted, and worth a warning. */
  readonly warnings: readonly string[];
}

const DEFAULT_PREFIX = 'election/';

/** Above this a TTL needs `allowLongTtl`, in seconds. */
const LONG_TTL_SECONDS = 3_600;

/** Above this a TTL is worth a warning, in seconds. */
const UNUSUAL_TTL_SECONDS = 300;

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

/** @throws {InvalidInputError} that names the option, what is expected and what came. */
export function resolveOptions(election: string, options: ElectionOptions | undefined): Settings {
  const complaints: string[] = [];
  const values = readFields(fields, options, 'options', complaints);
  const guard = readFields(guardFields, guardOf(options), 'options.guard', complaints);
  if (values !== undefined && guard !== undefined) complaints.push(...contradictions(values, guard));
  if (values === undefined || guard === undefined || complaints.length > 0)
    throw new InvalidInputError(
      election,
      `election "${election}" cannot be set up: ${complaints.join('; ')}`,
    );
  const { allowLongTtl, ...rest } = values;
  return {
    ...rest,
    logger: (rest.logger as unknown) === console ? consoleLogger : rest.logger,
    guard,
    drainTimeoutMs:
      rest.drainTimeoutMs ?? rest.ttlSeconds * 1000 - (rest.marginMs ?? defaultMarginMs(rest.ttlSeconds)),
    warnings: [
      allowLongTtl ? undefined : ttlWarning(rest.ttlSeconds),
      rest.prefix === DEFAULT_PREFIX ? commonName(election) : undefined,
    ].filter((warning) => warning !== undefined),
  };
}

/** Read apart, so that one wrong option does not hide another. */
const guardOf = (options: unknown): unknown =>
  isObject(options) && isObject(options['guard']) ? options['guard'] : undefined;

/** Of options that are good by themselves, those that do not fit together. */
function contradictions(
  { ttlSeconds, allowLongTtl, marginMs }: Values<typeof fields>,
  { baseMs, capMs, outsideCapMs }: GuardSettings,
): string[] {
  const found: string[] = [];
  const expect = (isRight: boolean, field: string, expected: string, got: number): void => {
    if (!isRight) found.push(`options.${field}: expected ${expected}, got ${got}`);
  };
  const longTtl = `at most ${LONG_TTL_SECONDS}: its unit is seconds (if so long a TTL is meant, set allowLongTtl: true)`;
  expect(allowLongTtl || ttlSeconds <= LONG_TTL_SECONDS, 'ttlSeconds', longTtl, ttlSeconds);
  const halfTtl = 'less than half of the TTL, or one late keep-alive ends the term';
  expect(marginMs === undefined || marginMs < ttlSeconds * 500, 'marginMs', halfTtl, marginMs ?? 0);
  expect(baseMs <= capMs, 'guard.capMs', 'at least baseMs', capMs);
  expect(baseMs <= outsideCapMs, 'guard.outsideCapMs', 'at least baseMs', outsideCapMs);
  return found;
}

const ttlWarning = (ttlSeconds: number): string | undefined =>
  ttlSeconds <= UNUSUAL_TTL_SECONDS
    ? undefined
    : `ttlSeconds is ${ttlSeconds}: after a crash nobody leads for up to ${Math.round(ttlSeconds / 60)} minutes; set allowLongTtl: true if that is meant`;
