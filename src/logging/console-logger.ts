/**
 * A logger for a console. It prints the text of lines from level `info` on, and the error object at level `error`.
 * `console` itself would also print all fields. It would print a stack trace for every line at level `trace`.
 */
import type { Logger } from '../events.ts';

const line = (message: string): string => `etcd-election: ${message}`;

export const consoleLogger: Logger = {
  trace: () => undefined,
  debug: () => undefined,
  info: (_fields, message) => console.info(line(message)),
  warn: (_fields, message) => console.warn(line(message)),
  error: (fields, message) => console.error(line(message), ...('err' in fields ? [fields.err] : [])),
};
