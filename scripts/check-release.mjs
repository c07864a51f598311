/**
 * Refuses a release that CHANGELOG.md does not tell of: `npm version` and `npm publish` run it first.
 *
 *   node scripts/check-release.mjs [VERSION] [CHANGELOG]
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = new URL('../', import.meta.url);
const [
  version = process.env.npm_new_version ??
    JSON.parse(readFileSync(new URL('package.json', root), 'utf8')).version,
  file = fileURLToPath(new URL('CHANGELOG.md', root)),
] = process.argv.slice(2);

/** @returns what is wrong, or undefined. */
function problemOf(changelog) {
  const [, first] = changelog.split(/^## /m);
  if (first === undefined) return 'it has no section';
  const [heading, ...lines] = first.split('\n');
  if (/unreleased/i.test(heading)) return `its first section is "${heading.trim()}": call it "${version}"`;
  const named = /^\[?v?(\d+\.\d+\.\d+[^\s\]]*)/.exec(heading)?.[1];
  if (named !== version) return `its first section is "${heading.trim()}", and this is ${version}`;
  if (lines.join('').trim() === '') return `its section "${heading.trim()}" is empty`;
  return undefined;
}

const problem = problemOf(readFileSync(file, 'utf8'));
if (problem !== undefined) {
  console.error(`CHANGELOG.md: ${problem}`);
  process.exitCode = 1;
}
