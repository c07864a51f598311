import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

// The pages show code of examples/, which test/integration/examples.test.ts runs.

const text = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

/** The code blocks of a Markdown text in TypeScript or JavaScript. */
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

const without = (page: string, names: string[]): string[] =>
  names.filter((name) => !text(page).includes(name));

describe('README.md', () => {
  const readme = text('README.md');

  test('begins with examples/quick-start.ts, verbatim', () => {
    expect(codeBlocks(readme)[0]).toBe(text('examples/quick-start.ts'));
  });

  test('is short: at most 200 lines, and no table cell above 100 characters', () => {
    expect(readme.split('\n').length).toBeLessThanOrEqual(200);
    const cells = [...readme.matchAll(/^\|(.*)\|$/gm)].flatMap(([, row = '']) => row.split('|'));
    expect(cells.filter((cell) => cell.trim().length > 100)).toEqual([]);
  });
});

describe('code in a page is code that the tests run', () => {
  test.for(['README.md', 'docs/tutorial.md', 'docs/guide.md', 'docs/reference.md', 'docs/errors.md'])(
    '%s',
    (page) => {
      const blocks = codeBlocks(text(page));
      expect(blocks).not.toEqual([]);
      expect(blocks.filter((code) => !shown.includes(code))).toEqual([]);
    },
  );
});

test('no program or page listens for only one SIGTERM or SIGINT: a second signal would kill it while it shuts down', () => {
  const once = /process\.once\((?:signal|'SIG(?:TERM|INT)')/;
  expect(sources.filter((source) => once.test(source))).toEqual([]);
  expect(
    ['README.md', ...pages].filter((page) => codeBlocks(text(page)).some((code) => once.test(code))),
  ).toEqual([]);
});

describe('docs/README.md, the index', () => {
  test('lists every page of docs/', () => {
    const links = pages.map((page) => page.replace('docs/', '')).filter((page) => page !== 'README.md');
    expect(
      without(
        'docs/README.md',
        links.map((page) => `](${page})`),
      ),
    ).toEqual([]);
  });

  test('lists every example', () => {
    const folders = new Set(inFolders.map((file) => `${file.split('/')[0]}/`));
    expect(
      without(
        'docs/README.md',
        [...examples, ...folders].map((name) => `](../examples/${name})`),
      ),
    ).toEqual([]);
  });

  test('has four parts, in order: tutorial, how-to guides, reference, explanation', () => {
    const headings = [...text('docs/README.md').matchAll(/^## (.*)$/gm)].map(([, heading]) => heading);
    expect(headings).toEqual(['Tutorial', 'How-to guides', 'Reference', 'Explanation', 'Examples']);
  });

  test('is one link from the README', () => {
    expect(text('README.md')).toContain('](docs/README.md)');
  });
});

describe('docs/reference.md', () => {
  test.for([
    ['event', 'src/events.ts', /type: '([\w.-]+)'/g],
    ['option', 'src/options.ts', /^ {2}(\w+)\?: /gm],
  ] as const)('names every %s', ([, file, pattern]) => {
    const names = [...text(file).matchAll(pattern)].map(([, name]) => `\`${name}\``);
    expect(names.length).toBeGreaterThan(5);
    expect(without('docs/reference.md', names)).toEqual([]);
  });

  test('gives the log level of every event', () => {
    const levels = [...text('src/logging/event-lines.ts').matchAll(/^ {2}'([\w.-]+)': \[\s*'(\w+)'/gm)];
    expect(levels.length).toBeGreaterThan(30);
    const rows = text('docs/reference.md').replaceAll(/ +/g, ' ');
    expect(
      levels.filter(([, event, level]) => !rows.includes(`| \`${event}\` | ${level} |`)).map(([row]) => row),
    ).toEqual([]);
  });
});

describe('docs/api.md (else: npm run docs:api)', () => {
  // An entry ends with its declaration. A docstring before it may have code too.
  const entries = text('docs/api.md').split(/^### /m).slice(1);
  const bare = entries.map((entry) => ({
    name: /^`(\w+)`/.exec(entry)?.[1] ?? '',
    code: codeBlocks(entry)
      .at(-1)!
      .replaceAll(/\/\*[^]*?\*\/|\/\/.*|'[^'\n]*'/g, ''),
  }));

  test('every block is one whole declaration', () => {
    expect(bare.length).toBeGreaterThan(90);
    for (const { name, code } of bare) {
      expect(code.match(/[{([]/g)?.length, name).toBe(code.match(/[})\]]/g)?.length);
      expect(code, name).toMatch(
        new RegExp(`^(?:abstract )?(?:class|interface|type|const|function) ${name}\\b`),
      );
      expect(code.trim(), name).toMatch(/[;}]$/);
      expect(code, name).not.toContain('export ');
    }
  });

  test('names every event', () => {
    const [, event = ''] = /### `ElectionEvent`([^]*?)\n### /.exec(text('docs/api.md')) ?? [];
    const types = [...text('src/events.ts').matchAll(/readonly (type: '[\w.-]+')/g)].map(([, type]) => type!);
    expect(types.length).toBeGreaterThan(40);
    expect(types.filter((type) => !event.includes(type))).toEqual([]);
  });

  test('declares every type of ours that it uses', () => {
    const code = bare.map((block) => block.code).join('\n');
    const declared = new Set(code.match(/(?<=\b(?:class|interface|type) )\w+/g));
    const used = new Set(code.match(/\b[A-Z]\w+/g));
    const others = // of JavaScript, Node.js, etcd3, and parameters of types
      'AsyncGenerator ComparatorBuilder Context Counter Disposable AsyncDisposable ErrorOptions Etcd3 Gauge Histogram ' +
      'IncomingMessage MeterProvider NodeJS Omit Pick ProcessEnv PromiseLike Record Registry ServerResponse TracerProvider';
    const known = new Set([...declared, ...others.split(' '), ...Object.getOwnPropertyNames(globalThis)]);
    expect([...used].filter((name) => !known.has(name))).toEqual([]);
  });
});

describe('docs/llms.txt (else: npm run docs:api)', () => {
  const llms = text('docs/llms.txt');

  test('contains the whole guide', () => {
    expect(llms).toContain(text('docs/guide.md').slice('# Guide\n'.length).trim());
  });

  test('contains the whole API of the main entry, and names the other entries', () => {
    const [main, ...others] = text('docs/api.md')
      .split(/^(?=## `etcd-election)/m)
      .slice(1);
    expect(llms).toContain(main!.trim());
    for (const other of others) expect(llms).toContain(/^## (`[^`]+`)/.exec(other)![1]);
  });
});

describe('a link has a target', () => {
  const files = [
    'README.md',
    'CONTRIBUTING.md',
    'SECURITY.md',
    'CHANGELOG.md',
    'examples/sync-service/README.md',
    ...pages,
  ];
  const links = files.flatMap((file) =>
    [...text(file).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => [file, link] as const),
  );
  const inside = links.filter(([, link]) => !/^https?:/.test(link));

  test.for(inside)('in %s: %s', ([file, link]) => {
    const [path = '', heading] = link.split('#');
    const target = path === '' ? file : new URL(path, `http://here/${file}`).pathname.slice(1);
    expect(existsSync(new URL(`../../${target}`, import.meta.url))).toBe(true);
    if (heading !== undefined) expect(anchors(text(target))).toContain(heading);
  });
});

/** The anchors of its headings, as GitHub makes them. */
function anchors(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}
