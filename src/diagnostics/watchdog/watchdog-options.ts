import { resolve } from 'node:path';
import { isObject } from '../../core/shown.ts';
import {
  callback,
  flag,
  oneOf,
  only,
  optional,
  readFields,
  real,
  secret,
  text,
  whole,
  type Fields,
  type Values,
} from '../../util/option-fields.ts';
import type { ElectionSource } from '../elections.ts';
import { DiagnosticsError } from '../errors.ts';
import { whyNoProfile } from '../profile/inspector.ts';
import type { WatchSettings } from './messages.ts';
import type { RunawayReport } from '../evidence/report.ts';

export interface WatchdogOptions {
  /**
   * How long the main thread may use the CPU without a turn of its event loop, in milliseconds. Then the watchdog takes a
   * profile, at most `pollMs` + 0.1 s later. If the block then ends before `runawayMs`, it becomes a notice, `blocked`. A
   * block that ends in the first quarter of the profile, or without a profile, is not reported. Within `cooldownMs` after
   * such a notice, the watchdog takes the profile only after `runawayMs`. Default: 1000. From 250 to 600000.
   */
  stallMs?: number | undefined;
  /**
   * How long the event loop must stand still, in milliseconds, to count as a runaway (`starved`). The thread must use the CPU
   * for 80 % of this time. Default: five times `stallMs`. From `stallMs` to 3600000.
   */
  runawayMs?: number | undefined;
  /**
   * How long the event loop may run without rest, in milliseconds. Then a loop that keeps itself busy is a runaway, `hot`. A
   * service with too much work gets a notice, `saturated`. Default: 10000. From 500 to 3600000.
   */
  hotMs?: number | undefined;
  /** An event loop with at least this utilization counts as having no rest. From 0.5 to 1. Default: 0.9. */
  hotUtilization?: number | undefined;
  /**
   * How often the worker checks, in milliseconds. Default: 500, or `stallMs` if `stallMs` is less. From 50 to 5000, at most
   * `stallMs`.
   */
  pollMs?: number | undefined;
  /** How long the CPU profile of a runaway lasts, in milliseconds. Default: 1000. From 100 to 60000. */
  profileMs?: number | undefined;
  /**
   * Shortest time between two reports with the same verdict, in milliseconds. A problem of the event loop that begins in
   * this time is reported afterwards, if it still lasts. For `rounds` the time applies to every election separately, and
   * a trip in this time is not reported. With `onStarved: 'kill'` the time does not apply to `starved`. Default: 600000,
   * ten minutes. From 0.
   */
  cooldownMs?: number | undefined;
  /**
   * For how long after its start the watchdog makes no reports about the event loop, in milliseconds. Many services load
   * for seconds without a turn of their event loop. A runaway that begins in this time is reported afterwards, if it
   * still lasts. `rounds` is reported at once. Default: 5000. From 0 to 600000.
   */
  startupGraceMs?: number | undefined;
  /**
   * Directory for the evidence. Every report gets a folder there that only this user can read. Default:
   * `etcd-election-runaways-<user>` in the system's temporary directory.
   */
  directory?: string | undefined;
  /** How many reports to keep in `directory`. Notices are deleted before runaways. Default: 5. From 1 to 100. */
  keep?: number | undefined;
  /**
   * Largest size of all kept reports together, in megabytes. Old reports are removed after a new report is written, so the
   * total may be larger for a moment. Default: 32. From 1 to 1024.
   */
  maxMegabytes?: number | undefined;
  /**
   * The format of the lines on stderr: `text`, `json` (as pino writes it), or `false` for no lines. The worker writes one
   * line for each report, one when a reported `starved` or `hot` runaway is over, and one if the webhook fails. The service's
   * own logger could not do this, because it runs on the main thread, which may spin. Default: `text`.
   */
  log?: 'text' | 'json' | false | undefined;
  /**
   * Called on the main thread for every `hot` and `rounds` runaway. A `starved` runaway goes to `onNotice`, because it is over
   * when the main thread can call a function. To be notified while the main thread spins, set `webhook`. An error that the
   * callback throws becomes a process warning.
   */
  onRunaway?: ((report: RunawayReport) => unknown) | undefined;
  /**
   * Called on the main thread for every notice: `blocked` or `saturated`. An error that the callback throws becomes a process
   * warning.
   */
  onNotice?: ((report: RunawayReport) => unknown) | undefined;
  /**
   * URL to which the worker POSTs every runaway as JSON, even while the main thread spins. The request takes at most 5 s.
   * Default: none.
   */
  webhook?: string | URL | { url: string | URL; headers?: Record<string, string> | undefined } | undefined;
  /**
   * Whether a `hot` process steps down. It steps down only from terms that it led when the runaway was noticed. Its
   * campaigns go on, at the end of the queue. A starved process cannot step down. Its lease expires, and the next candidate
   * leads within the TTL + 0.75 s. Default: false.
   */
  stepDown?: boolean | undefined;
  /**
   * What the worker does after it has reported a `starved` loop. `report`: nothing more. `kill`: it ends the process with
   * SIGKILL, without any clean-up, so that a supervisor starts the service again. Default: `report`.
   */
  onStarved?: 'report' | 'kill' | undefined;
  /** The elections to watch. Default: all elections of this process. */
  elections?: ElectionSource | undefined;
}

type Webhook = NonNullable<WatchdogOptions['webhook']>;

/** A number whose default depends on another option. */
const realIfGiven = (least: number, most: number) =>
  optional<number>(
    `a number from ${least} to ${most}`,
    (value) => typeof value === 'number' && value >= least && value <= most,
  );

const fields = only({
  stallMs: real(250, 600_000, 1_000),
  runawayMs: realIfGiven(250, 3_600_000),
  hotMs: real(500, 3_600_000, 10_000),
  hotUtilization: real(0.5, 1, 0.9),
  pollMs: realIfGiven(50, 5_000),
  profileMs: real(100, 60_000, 1_000),
  cooldownMs: real(0, Number.MAX_SAFE_INTEGER, 600_000),
  startupGraceMs: real(0, 600_000, 5_000),
  directory: text(1, undefined),
  keep: whole(1, 100, 5),
  maxMegabytes: real(1, 1024, 32),
  log: oneOf('text', 'json', false),
  onRunaway: callback<(report: RunawayReport) => unknown>(),
  onNotice: callback<(report: RunawayReport) => unknown>(),
  webhook: secret(
    optional<Webhook>(
      'an http or https address, or { url, headers } with strings as header values',
      (value) => webhookOf(value as Webhook) !== undefined,
    ),
  ),
  stepDown: flag(false),
  onStarved: oneOf('report', 'kill'),
  elections: optional<ElectionSource>('an object', isObject),
});

function webhookOf(value: Webhook): { url: string; headers: Record<string, string> } | undefined {
  const given =
    isObject(value) && 'url' in value ? (value as Exclude<Webhook, string | URL>) : { url: value };
  const url = String(given.url);
  const { headers = {}, ...rest } = given;
  const isGood =
    URL.canParse(url) &&
    /^https?:$/.test(new URL(url).protocol) &&
    isObject(headers) &&
    Object.values(headers).every((header) => typeof header === 'string') &&
    Object.keys(rest).every((name) => name === 'url');
  return isGood ? { url: new URL(url).href, headers } : undefined;
}

/** @throws {DiagnosticsError} DIAGNOSTICS_INVALID if an option is not valid. */
export function readWatchdogOptions(options: WatchdogOptions): {
  settings: WatchSettings;
  callbacks: Pick<WatchdogOptions, 'onRunaway' | 'onNotice'>;
  stepDown: boolean;
  elections: ElectionSource | undefined;
} {
  const values = parseOptions(fields, options);
  const { directory, keep, maxMegabytes, onRunaway, onNotice, stepDown, elections, webhook, ...rest } =
    values;
  const pollMs = rest.pollMs ?? Math.min(500, rest.stallMs);
  if (pollMs > rest.stallMs)
    throw new DiagnosticsError('DIAGNOSTICS_INVALID', 'options.pollMs: must not be larger than stallMs');
  const runawayMs = rest.runawayMs ?? rest.stallMs * 5;
  if (runawayMs < rest.stallMs)
    throw new DiagnosticsError('DIAGNOSTICS_INVALID', 'options.runawayMs: must not be smaller than stallMs');
  const evidence = {
    directory: directory === undefined ? undefined : resolve(directory), // the program may change its working directory later
    keep,
    maxBytes: maxMegabytes * 1024 * 1024,
  };
  const deoptimise = !process.env['NODE_V8_COVERAGE'];
  return {
    settings: {
      ...rest,
      pollMs,
      runawayMs,
      webhook: webhook === undefined ? undefined : webhookOf(webhook),
      evidence,
      deoptimise,
      whyNoProfile: whyNoProfile(),
      notes: [],
    },
    callbacks: { onRunaway, onNotice },
    stepDown,
    elections,
  };
}

/** @throws {DiagnosticsError} DIAGNOSTICS_INVALID that names each problem. */
export function parseOptions<F extends Fields>(fields: F, options: unknown): Values<F> {
  const problems: string[] = [];
  const values = readFields(fields, options, 'options', problems);
  if (values === undefined) throw new DiagnosticsError('DIAGNOSTICS_INVALID', problems.join('; '));
  return values;
}
