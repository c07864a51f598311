/**
 * What users can set, in words for people; behind it a schema that keeps the words honest.
 */
import { networkInterfaces, hostname } from 'node:os';
import type { Etcd3 } from 'etcd3';
import * as z from 'zod'; // as a namespace: else bundlers keep all the languages it can speak
import type { Candidate } from './core/roster.ts';
import { LONGEST_VALUE_BYTES } from './etcd/candidacy.ts';
import { InvalidInputError } from './errors.ts';
import type { Logger } from './events.ts';
import { defaultGuardSettings, type GuardSettings } from './guard/guard.ts';
import type { Term } from './term.ts';

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
   * grant more than is asked, by default never less than 2. Default: 10. Range: 1 to 86 400.
   */
  ttlSeconds?: number | undefined;
  /**
   * What comes before the election's name in every key. Empty, or ends with `/`; it may not contain NUL.
   * Default: `election/`.
   */
  prefix?: string | undefined;
  /**
   * Called when a term begins; it may be async: its promise is the work. That it returns or resolves does not end
   * the term. If it throws or rejects, we step down and stand again, held back by the loop guard. When the term
   * ends `term.signal` aborts, and the key is given up only after the promise has settled. Never overlaps with
   * `onFollower`, and always takes turns with it.
   */
  onLeader?: ((term: Term) => unknown) | undefined;
  /**
   * Called when we are a candidate and somebody else leads, once until we lead ourselves, and after each term of
   * ours; with the leader, if one is known. It may be async.
   */
  onFollower?: ((leader: Candidate | undefined) => unknown) | undefined;
  /** Where log lines go: a pino logger, or anything with its methods. Default: pino, to standard output. */
  logger?: Logger | undefined;
  /**
   * How long before etcd can let the lease go we stop believing that we lead, in milliseconds: for clocks that
   * run at different rates, and for work to stop in. Elections that share a lease share the largest margin.
   * Default: a tenth of the TTL. Range: 50 to less than half of the TTL.
   */
  marginMs?: number | undefined;
  /**
   * How long the end of a term waits for the work to settle before it gives up the key all the same, in
   * milliseconds. Default: the TTL less the margin. Range: 0 to 3 600 000.
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
  readonly logger: Logger | undefined;
  readonly marginMs: number;
  readonly drainTimeoutMs: number;
  readonly progressTimeoutMs: number | undefined;
  readonly lastWill: boolean;
  readonly guard: GuardSettings;
  readonly signal: AbortSignal | undefined;
}

const callback = <F>(): z.ZodType<F, F> =>
  z.custom<F>((value) => typeof value === 'function', { error: 'expected a function' });

const logMethods = ['trace', 'debug', 'info', 'warn', 'error'] as const;

const schema: z.ZodType<Settings, ElectionOptions> = z
  .strictObject({
    ttlSeconds: z.int().min(1).max(86_400).default(10),
    prefix: z
      .string()
      .refine((prefix) => (prefix === '' || prefix.endsWith('/')) && !prefix.includes('\0'), {
        error: 'expected an empty string or one that ends with "/", without NUL',
      })
      .default('election/'),
    onLeader: callback<NonNullable<Settings['onLeader']>>().optional(),
    onFollower: callback<NonNullable<Settings['onFollower']>>().optional(),
    logger: z
      .custom<Logger>(
        (value) =>
          typeof value === 'object' &&
          value !== null &&
          logMethods.every((method) => typeof (value as Record<string, unknown>)[method] === 'function'),
        { error: `expected a pino logger, or an object with the methods ${logMethods.join(', ')}` },
      )
      .optional(),
    marginMs: z.int().min(50).optional(),
    drainTimeoutMs: z.int().min(0).max(3_600_000).optional(),
    progressTimeoutMs: z.int().min(100).max(86_400_000).optional(),
    lastWill: z.boolean().default(false),
    guard: z
      .strictObject({
        burst: z.int().min(1).max(20).default(defaultGuardSettings.burst),
        baseMs: z.int().min(100).max(60_000).default(defaultGuardSettings.baseMs),
        capMs: z.int().min(2_500).max(3_600_000).default(defaultGuardSettings.capMs),
        outsideCapMs: z.int().min(1_000).max(60_000).default(defaultGuardSettings.outsideCapMs),
        healthyAfterMs: z.int().min(5_000).max(3_600_000).default(defaultGuardSettings.healthyAfterMs),
      })
      .refine(({ baseMs, capMs }) => baseMs <= capMs, {
        path: ['capMs'],
        error: 'expected at least baseMs',
      })
      .refine(({ baseMs, outsideCapMs }) => baseMs <= outsideCapMs, {
        path: ['outsideCapMs'],
        error: 'expected at least baseMs',
      })
      .prefault({}),
    signal: z
      .custom<AbortSignal>((value) => value instanceof AbortSignal, { error: 'expected an AbortSignal' })
      .optional(),
  })
  .refine(({ marginMs, ttlSeconds }) => marginMs === undefined || marginMs < ttlSeconds * 500, {
    path: ['marginMs'],
    error: 'expected less than half of the TTL, or one late keep-alive ends the term',
  })
  .transform((options): Settings => {
    const marginMs = options.marginMs ?? options.ttlSeconds * 100;
    return {
      ...options,
      onLeader: options.onLeader,
      onFollower: options.onFollower,
      logger: options.logger,
      signal: options.signal,
      progressTimeoutMs: options.progressTimeoutMs,
      marginMs,
      drainTimeoutMs: options.drainTimeoutMs ?? options.ttlSeconds * 1000 - marginMs,
    };
  });

/** @throws {InvalidInputError} that names the option, what is expected and what came. */
export function resolveOptions(election: string, options: ElectionOptions | undefined): Settings {
  const result = schema.safeParse(options ?? {});
  if (result.success) return result.data;
  const complaints = result.error.issues.flatMap((issue) => complaintsOf(issue, options));
  throw new InvalidInputError(election, `election "${election}" cannot be set up: ${complaints.join('; ')}`);
}

function complaintsOf(issue: z.core.$ZodIssue, options: unknown): string[] {
  const field = ['options', ...issue.path].join('.');
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => `${field}.${key}: there is no such option`);
  const came = issue.path.reduce<unknown>(
    (at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key],
    options,
  );
  // Of two options that contradict each other, the one that is named may be the one that was left out.
  const got = came === undefined ? 'its default' : shown(came);
  const expected = issue.message.replace(/^Invalid input: (.*), received .*$/, '$1');
  return [`${field}: ${expected}, got ${got}`];
}

/** @throws {InvalidInputError} */
export function checkName(name: unknown): asserts name is string {
  if (typeof name === 'string' && name !== '' && !/[/\0]/.test(name)) return;
  throw new InvalidInputError(
    typeof name === 'string' ? name : '',
    `name of an election: expected a string that is not empty and has no "/" and no NUL, got ${shown(name)}`,
  );
}

/** @throws {InvalidInputError} */
export function checkClient(client: unknown, election: string): asserts client is Etcd3 {
  const refuse = (expected: string, came: unknown): never => {
    throw new InvalidInputError(
      election,
      `client of election "${election}": expected ${expected}, got ${shown(came)}`,
    );
  };
  const parts = ['kv', 'leaseClient', 'watchClient', 'maintenance'];
  if (typeof client !== 'object' || client === null || !parts.every((part) => part in client))
    refuse('an Etcd3 client of the etcd3 package (not a namespace of one)', client);
  const { hosts } = (client as { options?: { hosts?: unknown } }).options ?? {};
  for (const host of Array.isArray(hosts) ? hosts : hosts === undefined ? [] : [hosts]) {
    if (/^(https?:\/\/)?[^/]+$/.test(String(host))) continue;
    refuse(
      'hosts like http://127.0.0.1:2379, without a path and without a slash at the end (etcd3 never connects to those)',
      host,
    );
  }
}

/** @throws {InvalidInputError} */
export function checkWork(work: unknown, election: string): void {
  if (typeof work === 'function') return;
  throw new InvalidInputError(
    election,
    `work for lead() in election "${election}": expected a function, got ${shown(work)}`,
  );
}

/** @throws {InvalidInputError} */
export function checkSignal(options: unknown, election: string): AbortSignal | undefined {
  // A signal has no property `signal`: it would be taken for options that say nothing, and never be heard.
  if (options instanceof AbortSignal)
    throw new InvalidInputError(
      election,
      `signal for election "${election}": expected { signal }, got the signal itself`,
    );
  const signal = options === undefined ? undefined : (options as { signal?: unknown } | null)?.signal;
  if (options !== null && (signal === undefined || signal instanceof AbortSignal)) return signal;
  const came = options === null ? null : signal;
  throw new InvalidInputError(
    election,
    `signal for election "${election}": expected { signal?: AbortSignal }, got ${shown(came)} (of a controller pass its .signal)`,
  );
}

/** @throws {InvalidInputError} */
export function checkValue(value: unknown, election: string): asserts value is string {
  if (typeof value === 'string' && Buffer.byteLength(value) <= LONGEST_VALUE_BYTES) return;
  throw new InvalidInputError(
    election,
    `value announced in election "${election}": expected a string of at most ${LONGEST_VALUE_BYTES} bytes, got ${
      typeof value === 'string' ? `${Buffer.byteLength(value)} bytes` : shown(value)
    }`,
  );
}

/** This node's address: its first external IPv4, else IPv6, else the host's name. */
export function ownAddress(): string {
  const external = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith('fe80:'));
  return (
    external.find(({ family }) => family === 'IPv4')?.address ??
    external.find(({ family }) => family === 'IPv6')?.address ??
    hostname()
  );
}

/** Short, on one line, and without the contents of objects: they may hold secrets. */
function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object';
  return String(value);
}
