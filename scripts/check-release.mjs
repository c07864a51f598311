/**
 * Refuses a release without an entry in CHANGELOG.md, or without public addresses in package.json. `npm version`
 * and `npm publish` run it first.
 * `node scripts/check-release.mjs [VERSION] [CHANGELOG] [PACKAGE.JSON]`
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = new URL('../', import.meta.url);
const [
  version = process.env.npm_new_version ??
    JSON.parse(readFileSync(new URL('package.json', root), 'utf8')).version,
  file = fileURLToPath(new URL('CHANGELOG.md', root)),
  manifest = fileURLToPath(new URL('package.json', root)),
] = process.argv.slice(2);

/** @returns the problem, or undefined. */
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

/** @returns the missing fields: without an address the links of the npm page have no target. */
function addressProblems({ repository, homepage, bugs }) {
  const addresses = { repository: repository?.url ?? repository, homepage, bugs: bugs?.url ?? bugs };
  return Object.entries(addresses).flatMap(([field, address]) =>
    typeof address === 'string' && /^(git\+)?https:\/\/[\w-]+\.[\w.-]+\//.test(address)
      ? []
      : [`"${field}" is ${JSON.stringify(address) ?? 'missing'}: give the public https address`],
  );
}

const problem = problemOf(readFileSync(file, 'utf8'));
const problems = [
  ...(problem === undefined ? [] : [`CHANGELOG.md: ${problem}`]),
  ...addressProblems(JSON.parse(readFileSync(manifest, 'utf8'))).map((text) => `package.json: ${text}`),
];
for (const text of problems) console.error(text);
if (problems.length > 0) process.exitCode = 1;
