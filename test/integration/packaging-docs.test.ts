import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { compile, Program, ROOT } from '../support/programs.ts';

// The documents describe what exists, and their code compiles.

const documents = [
  'api',
  'cli',
  'diagnostics',
  'faq',
  'last-will',
  'metrics',
  'migration',
  'operating-etcd',
  'testing',
];
const text = (name: string): string => readFileSync(join(ROOT, `docs/${name}.md`), 'utf8');

describe('docs/api.md', () => {
  const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    exports: Record<string, { 'etcd-election:source'?: string }>;
  };
  const doors = Object.entries(exports).flatMap(([path, { 'etcd-election:source': source }]) =>
    source === undefined ? [] : [[path.replace(/^\./, 'etcd-election'), source] as const],
  );

  test.each(doors)('%s: contains every exported name (else: npm run docs:api)', (door, source) => {
    const section = text('api')
      .split(/^## /m)
      .find((part) => part.startsWith(`\`${door}\`\n`));
    const file = readFileSync(join(ROOT, source), 'utf8');
    const listed = [...file.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].flatMap(([, names]) =>
      names!.split(',').map((name) => name.trim().replace(/^type /, '')),
    );
    const declared = [
      ...file.matchAll(/^export (?:async )?(?:class|interface|type|const|function) (\w+)/gm),
    ].map(([, name]) => name!);
    const names = [...listed, ...declared].filter((name) => name !== '');
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) expect(section, name).toContain(`### \`${name}\``);
  });
});

describe('code blocks', () => {
  let folder: string;
  /** Named by document and number: `testing-1.ts`. */
  const files: string[] = [];
  let programs: string[];
  beforeAll(async () => {
    // Inside the repository, so that the package's own name leads to its source. Git ignores this folder.
    mkdirSync(join(ROOT, 'coverage'), { recursive: true });
    folder = mkdtempSync(join(ROOT, 'coverage/docs-'));
    for (const name of documents.filter((document) => document !== 'api'))
      for (const [index, [, code]] of [...text(name).matchAll(/^```ts\n([^]*?)^```$/gm)].entries()) {
        const file = `${name}-${index + 1}.ts`;
        writeFileSync(join(folder, file), `${code}\nexport {};\n`);
        files.push(file);
      }
    programs = await compile(
      ['testing-1.ts', 'testing-4.ts'].map((file) => relative(ROOT, join(folder, file))),
    );
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('compile', async () => {
    expect(files.length).toBeGreaterThan(5);
    writeFileSync(join(folder, 'tsconfig.json'), '{ "extends": "../../tsconfig.json", "include": ["*.ts"] }');
    const { stdout } = await promisify(execFile)(join(ROOT, 'node_modules/.bin/tsc'), ['-p', folder]).catch(
      (error: { stdout: string }) => error,
    );
    expect(stdout).toBe('');
  });

  test('of docs/testing.md run', async () => {
    const handOver = new Program(programs[0]!, [], {
      env: { ETCD_ENDPOINTS: inject('etcd').endpoints.join() },
    });
    const lost = new Program(programs[1]!, []);
    expect(await handOver.exit(), handOver.said).toBe(0);
    expect(handOver.stdout).toMatch(/^# pass 1$/m);
    expect(await lost.exit(), lost.said).toBe(0);
    expect(lost.stdout).toMatch(/^true false$/m);
  });
});

describe('links', () => {
  const headings = (path: string): string[] =>
    [...readFileSync(path, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
      heading!
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    );

  test.each(documents)('docs/%s.md: every link has a target', (name) => {
    const path = join(ROOT, `docs/${name}.md`);
    const prose = text(name).replace(/^```[^]*?^```$/gm, '');
    for (const [, target] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target!)) continue;
      const [file, anchor] = target!.split('#') as [string, string | undefined];
      const to = file === '' ? path : join(dirname(path), file);
      expect(existsSync(to), `${name}.md → ${target}`).toBe(true);
      if (anchor !== undefined) expect(headings(to), `${name}.md → ${target}`).toContain(anchor);
    }
  });
});
