/**
 * Finds the variables that the command does not get: a shell starts the command, and some shells drop variables whose names
 * are not shell identifiers.
 */
import { spawnSync } from 'node:child_process';
import type { Logger } from '../../index.ts';
import type { Environment } from '../arguments.ts';

const ANSWERS_WITHIN_MS = 5_000;

/** @returns the names that this machine's shell drops. */
function lostVariables(env: Environment): string[] {
  const suspects = Object.keys(env).filter((name) => !/^[A-Za-z_]\w*$/.test(name));
  if (suspects.length === 0) return [];
  const options = { env, encoding: 'utf8', timeout: ANSWERS_WITHIN_MS } as const;
  const { status, stdout } = spawnSync('/bin/sh', ['-c', 'exec env'], {
    ...options,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  if (status !== 0) return [];
  return suspects.filter((name) => !`\n${stdout}`.includes(`\n${name}=`));
}

export function tellLostVariables(env: Environment, logger: Logger): void {
  const lost = lostVariables(env);
  if (lost.length > 0) logger.warn({ event: 'command.variables', lost }, lostText(lost));
}

const lostText = (names: readonly string[]): string =>
  `the command does not get ${names.map((name) => JSON.stringify(name)).join(', ')}: ` +
  'the shell of this machine drops variables whose names are not shell identifiers';
