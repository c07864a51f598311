/**
 * Prints the log lines of the library and of a command to standard error, as text or as JSON.
 */
import type { Logger } from '../index.ts';
import { plainCause } from '../core/plain-cause.ts';
import { hintFor } from './plain-error.ts';
import { paletteFor, print, printJson, safe, type Terminal } from './terminal.ts';

/** Events whose reason is an error of etcd, or of the connection to it. */
const OF_ETCD: ReadonlySet<string> = new Set([
  'session.unavailable',
  'candidate.failed',
  'candidate.refused',
]);

const nothing = (): void => undefined;

export const silentLogger: Logger = {
  trace: nothing,
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
};

export interface Narrator {
  /** The logger for the library, from level `info`. */
  readonly logger: Logger;
  /** Prints a line of the command itself. */
  say(event: string, fields: object, message: string): void;
}

export function narratorFor(terminal: Terminal, options: { json: boolean; quiet: boolean }): Narrator {
  const palette = paletteFor(terminal.stderr, terminal.env);
  const write = (level: 'info' | 'warn' | 'error', fields: object, told: string): void => {
    if (options.quiet && level === 'info') return;
    const { event } = fields as { event?: string };
    const hint = event !== undefined && OF_ETCD.has(event) ? hintFor(plainCause(told)) : undefined;
    const message = plainCause(told) + (hint === undefined ? '' : ` (${hint})`);
    if (options.json) {
      const { err, ...rest } = fields as { err?: unknown };
      const error = err === undefined ? {} : { error: err instanceof Error ? plainCause(err.message) : err };
      printJson(terminal.stderr, { at: new Date().toISOString(), level, ...rest, ...error, message });
    } else {
      const paint = level === 'info' ? palette.dim : level === 'warn' ? palette.warn : palette.bad;
      print(terminal.stderr, paint(safe`etcd-election: ${message}`));
    }
  };
  return {
    logger: {
      trace: nothing,
      debug: nothing,
      info: (fields, message) => write('info', fields, message),
      warn: (fields, message) => write('warn', fields, message),
      error: (fields, message) => write('error', fields, message),
    },
    say: (event, fields, message) => write('info', { event, ...fields }, message),
  };
}

const OF_CLUSTERS: ReadonlySet<string | undefined> = new Set(['host.foreign', 'cluster.changed']);

/** Prints only what the library says about endpoints of other clusters. */
export function clusterLogger(terminal: Terminal): Logger {
  const { logger } = narratorFor(terminal, { json: false, quiet: true });
  const error = (fields: { event?: string }, message: string): void => {
    if (OF_CLUSTERS.has(fields.event)) logger.error(fields, message);
  };
  return { ...silentLogger, error };
}
