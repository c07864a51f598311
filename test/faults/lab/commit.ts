import { execFileSync } from 'node:child_process';

/** What the candidates were built from; with a mark where the sources at hand are not those of the commit. */
export function commitAtHand(): string {
  const git = (...args: string[]): string => execFileSync('git', args, { encoding: 'utf8' }).trim();
  const changed = git('status', '--porcelain', '--', 'src', 'test/faults/lab');
  return `${git('rev-parse', '--short', 'HEAD')}${changed === '' ? '' : ', changed'}`;
}
