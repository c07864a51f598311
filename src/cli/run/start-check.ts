/**
 * Checks whether a command can be started, and chooses the exit code that a shell would return.
 */
import { accessSync, constants, statSync } from 'node:fs';
import { join } from 'node:path';
import type { ChildEnd } from './child-group.ts';
import { EXIT } from '../exit-codes.ts';

/** The search path if PATH is not set. */
const DEFAULT_PATH = '/bin:/usr/bin';

/** @returns undefined if the command can probably be started; otherwise the reason. */
export function whyNotStarted(command: string, path: string = DEFAULT_PATH): ChildEnd | undefined {
  const places = command.includes('/') ? [command] : path.split(':').map((folder) => join(folder, command));
  const problems = command === '' ? (['ENOENT'] as const) : places.map(problemOf);
  if (problems.some((problem) => problem === undefined)) return undefined;
  const isThere = problems.some((problem) => problem === 'EACCES');
  return {
    exitCode: isThere ? EXIT.notExecutable : EXIT.notFound,
    how: `could not be started: ${isThere ? 'permission denied' : 'no such command'}`,
  };
}

function problemOf(file: string): 'ENOENT' | 'EACCES' | undefined {
  try {
    if (!statSync(file).isFile()) return 'EACCES';
    accessSync(file, constants.X_OK);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EACCES' ? 'EACCES' : 'ENOENT';
  }
}
