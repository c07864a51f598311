/**
 * The log lines of the library in the words of `run`. The library advises programmers. A user of the command has flags
 * instead of options and calls.
 */
import { UNUSUAL_TTL_SECONDS } from '../../core/deadline.ts';
import type { ElectionEventType, EventOf, UnusualUsage } from '../../events.ts';
import { blockedBy } from '../../logging/event-lines.ts';
import type { Logger } from '../../index.ts';
import type { RunOptions } from './run-options.ts';

type Text<T extends ElectionEventType> = (event: Omit<EventOf<T>, 'type'>) => string;

/** Usages that `run` or its user can cause. */
const ofUsage: { readonly [usage in UnusualUsage]?: Text<'usage.unusual'> } = {
  exit: (e) =>
    `run exits while it leads "${e.election}", and no replica can lead until the lease expires (--ttl). To end run, send SIGTERM`,
  'shared-value': (e) =>
    `several candidates of "${e.election}" announce our value, so status does not show which of them leads: give every replica another --value, or none`,
};

/**
 * The library's own texts for these events name its options or calls. So `run` writes the texts below. If the text of an
 * event is undefined, `run` writes the library's text.
 */
const texts: { readonly [T in ElectionEventType]?: (event: Omit<EventOf<T>, 'type'>) => string | undefined } =
  {
    'usage.unusual': (e) => ofUsage[e.usage]?.(e),
    'candidate.waiting': (e) =>
      blockedBy(e) ??
      `waiting in "${e.election}" behind ${e.leader === undefined ? 'an unknown leader' : `"${e.leader}"`} for ` +
        `${Math.round(e.waitedMs / 1_000)} s (place ${e.position}); that is normal while another replica leads`,
    'drain.overdue': (e) =>
      `the command of "${e.election}" had not ended ${Math.round(e.afterMs)} ms after the end of the term, and another replica may lead now` +
      (e.stalledMs > 0 ? `. In that time run stood still for ${Math.round(e.stalledMs)} ms in all` : ''),
    'process.stalled': (e) =>
      `the term of "${e.election}" was lost because run stood still for ${Math.round(e.stalledMs)} ms in all: it was frozen, ` +
      `suspended or starved of CPU (${Math.round(e.cpuMs)} ms of CPU). With a longer --ttl, a term outlasts a longer stall. ` +
      'The command may have acted after its term. A target that checks the fencing token refuses such writes',
    'work.ended': (e) =>
      `the command of "${e.election}" is no longer running (fencing token ${e.fencingToken})`,
    'callback.failed': (e) => `the command could not be run in "${e.election}": ${String(e.error)}`,
  };

/**
 * A logger for the library in the words of the command. It leaves out the line about the end of the campaign, because
 * `run` reports that itself.
 */
export function inWordsOfRun(logger: Logger): Logger {
  const tell = (level: 'info' | 'warn' | 'error') => (fields: object, message: string) => {
    const { event, err } = fields as { event?: ElectionEventType; err?: unknown };
    if (event === 'campaign.ended') return;
    const text = event === undefined ? undefined : texts[event]?.({ ...fields, error: err } as never);
    if (text === undefined) logger[level](fields, message);
    else logger[level](event === 'usage.unusual' ? { ...fields, reason: text } : fields, text);
  };
  return { ...logger, info: tell('info'), warn: tell('warn'), error: tell('error') };
}

/** Warns about a TTL that is accepted, but unusually long. */
export function tellLongTtl({ name, ttlSeconds }: RunOptions, logger: Logger): void {
  if (ttlSeconds <= UNUSUAL_TTL_SECONDS) return;
  const reason = `--ttl is ${ttlSeconds} s: if this machine dies, no replica leads for up to ${Math.round(ttlSeconds / 60)} minutes`;
  logger.warn({ event: 'options.unusual', election: name, reason }, reason);
}
