// One word for one thing: docs/design.md has the glossary. These older words meant the same things.
import { readFileSync, readdirSync } from 'node:fs';
import { expect, test } from 'vitest';

/** Each with its replacement. Whole words, in any case, in code, comments, messages and pages. */
const RETIRED: readonly (readonly [RegExp, string])[] = [
  [/\bseats?\b/i, 'candidate key, or leadership'],
  [/\brosters?\b/i, 'queue'],
  [/\b(the|a|an|its|our) standing\b/i, 'active campaign'],
  [/\bhubs?\b|watchhub|hubof/i, 'shared watch'],
  [/\bturnstiles?\b/i, 'shared delay'],
  [/\bnewcomers?\b/i, 'new election'],
  [/\bpaces?\b/i, 'back-off, or rate'],
  [/\bow(e|es|ed|ing)\b|payowed/i, 'pending delete'],
  [/\breporters?\b/i, 'event log'],
  [/\bfront doors?\b|\bdoors?\b/i, 'entry point, or facade'],
  [/\brooms?\b/i, 'folder, or entry point'],
  [/\bcaller-?guards?\b/i, 'call limits'],
  [/\bline-?(budget|share)s?\b/i, 'log quota, log limiter'],
  [/\betcd-?faults?\b|\bfaultof\b/i, 'EtcdError'],
  [/\bhost-?choice\b/i, 'host selector'],
  [/\brunningcampaign\b/i, 'Campaign'],
  [/\bcountCall\b|\bpark\(/, 'countSyncCall, blockThread'],
  [/\blingering\b/i, 'previous callbacks'],
  [/\bbecause\??:|\.because\b/, 'reason'],
  [/\borigin="?(own|outside)\b|\borigin: '(own|outside)'/, 'caller, or environment'],
];

/** Words that are correct in one place. */
const ALLOWED: readonly (readonly [string, RegExp])[] = [
  ['docs/migration.md', /because|origin/], // the old names
];

const files = [
  ...under('src', /^(?!.*(worker|helper)-source\.ts$).*\.ts$/),
  ...under('docs', /^(?!decisions\/).*\.md$/), // decisions keep the words of their time
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
];

function under(folder: string, pattern: RegExp): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => pattern.test(file))
    .map((file) => `${folder}/${file}`);
}

test.each(files)('%s has no retired word', (file) => {
  const allowed = ALLOWED.filter(([path]) => path === file).map(([, pattern]) => pattern);
  const found = readFileSync(file, 'utf8')
    .replaceAll(/\]\([^)]*\)/g, ']') // addresses
    .split('\n')
    .flatMap((line, index) =>
      RETIRED.filter(([word]) => word.test(line) && !allowed.some((pattern) => pattern.test(line))).map(
        ([, better]) => `${index + 1}: ${line.trim()} -> ${better}`,
      ),
    );
  expect(found).toEqual([]);
});

test('the glossary of docs/design.md has at most 25 words', () => {
  const design = readFileSync('docs/design.md', 'utf8');
  const glossary = design.slice(design.indexOf('## Glossary'), design.indexOf('## Requirements'));
  const words = [...glossary.matchAll(/^\| ([\w, -]+?) +\|/gm)].map(([, word]) => word).slice(2); // without the heading
  expect(words.length).toBeGreaterThan(15);
  expect(words.length).toBeLessThanOrEqual(25);
});
