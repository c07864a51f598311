/**
 * A logger for a console. From level `info` on, it prints the text, and at level `error` also the error object. `console`
 * itself has the same methods, but it prints the fields first, and the text after them. It also prints debug lines, and prints
 * a stack trace for every renewal of the lease.
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
