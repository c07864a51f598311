import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

// What the README shows is what examples/ holds, and examples/ is run by test/integration/examples.test.ts.

const text = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

/** Code blocks of a Markdown text in TypeScript or JavaScript. */
const codeBlocks = (markdown: string): string[] =>
  [...markdown.matchAll(/^```(?:ts|js|typescript|javascript)\n(.*?)^```$/gms)].map(([, code = '']) => code);

/** Parts of a source file between `// #region name` and `// #endregion name`, without their indentation. */
const regions = (source: string): string[] =>
  [...source.matchAll(/^ *\/\/ #region (\w+)\n(.*?)^ *\/\/ #endregion \1$/gms)].map(([, , code = '']) =>
    dedent(code),
  );

function dedent(code: string): string {
  const indents = code.split('\n').flatMap((line) => (line.trim() === '' ? [] : [line.search(/\S/)]));
  const indent = Math.min(...indents);
  return code.replace(new RegExp(`^ {${indent}}`, 'gm'), '');
}

const pages = readdirSync(new URL('../../docs/', import.meta.url))
  .filter((file) => file.endsWith('.md'))
  .map((file) => `docs/${file}`);

const examples = readdirSync(new URL('../../examples/', import.meta.url)).filter((file) =>
  file.endsWith('.ts'),
);
const inFolders = readdirSync(new URL('../../examples/', import.meta.url), { recursive: true })
  .map(String)
  .filter((file) => file.includes('/') && file.endsWith('.ts') && !file.startsWith('dist/'));
const sources = [...examples, ...inFolders].map((file) => text(`examples/${file}`));
const shown = [...sources, ...sources.flatMap(regions)];

describe('README.md', () => {
  const readme = text('README.md');
  const missing = (names: string[]): string[] => names.filter((name) => !readme.includes(name));

  test('begins with examples/quick-start.ts, verbatim', () => {
    expect(codeBlocks(readme)[0]).toBe(text('examples/quick-start.ts'));
  });

  test('shows no other code than examples/ holds', () => {
    expect(codeBlocks(readme).filter((code) => !shown.includes(code))).toEqual([]);
  });

  test('names every example', () => {
    expect(missing(examples.map((file) => `examples/${file}`))).toEqual([]);
  });

  test('has every page of docs/ in its last section', () => {
    const more = readme.slice(readme.indexOf('\n## More\n'));
    expect(pages.filter((page) => !more.includes(`](${page})`))).toEqual([]);
  });

  test.for([
    ['error code', 'src/errors.ts', /'(ELECTION_\w+)'/g],
    ['event', 'src/events.ts', /type: '([\w.-]+)'/g],
    ['option', 'src/options.ts', /^ {2}(\w+)\?: /gm],
  ] as const)('names every %s', ([, file, pattern]) => {
    const names = [...text(file).matchAll(pattern)].map(([, name]) => `\`${name}\``);
    expect(names.length).toBeGreaterThan(5);
    expect(missing(names)).toEqual([]);
  });
});

describe('docs/llms.txt (else: npm run docs:api)', () => {
  const llms = text('docs/llms.txt');

  test('holds the guide, whole', () => {
    expect(llms).toContain(text('docs/guide.md').slice('# Guide\n'.length).trim());
  });

  test('holds the API of the package`s main entry, whole, and names the others', () => {
    const [main, ...others] = text('docs/api.md')
      .split(/^(?=## `etcd-election)/m)
      .slice(1);
    expect(llms).toContain(main!.trim());
    for (const other of others) expect(llms).toContain(/^## (`[^`]+`)/.exec(other)![1]);
  });
});

describe('docs/guide.md', () => {
  test('shows no other code than examples/ holds', () => {
    expect(codeBlocks(text('docs/guide.md')).filter((code) => !shown.includes(code))).toEqual([]);
  });
});

describe('a link leads somewhere', () => {
  const files = [
    'README.md',
    'CONTRIBUTING.md',
    'SECURITY.md',
    'CHANGELOG.md',
    'examples/sync-service/README.md',
    ...pages,
  ];
  const links = files.flatMap((file) =>
    [...text(file).matchAll(/\]\(([^)\s]+)\)/g)].map(([, transport = '']) => [file, transport] as const),
  );
  const inside = links.filter(([, transport]) => !/^https?:/.test(transport));

  test.for(inside)('in %s: %s', ([file, transport]) => {
    const [path = '', heading] = transport.split('#');
    const target = path === '' ? file : new URL(path, `http://here/${file}`).pathname.slice(1);
    expect(existsSync(new URL(`../../${target}`, import.meta.url))).toBe(true);
    if (heading !== undefined) expect(anchors(text(target))).toContain(heading);
  });
});

/** Of its headings, as GitHub makes them. */
function anchors(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}
