import { execFileSync } from 'node:child_process';

/** The commit from which the candidates were built, marked if the sources differ from it. */
export function commitAtHand(): string {
  const git = (...args: string[]): string => execFileSync('git', args, { encoding: 'utf8' }).trim();
  const changed = git('status', '--porcelain', '--', 'src', 'test/faults/lab');
  return `${git('rev-parse', '--short', 'HEAD')}${changed === '' ? '' : ', changed'}`;
}
