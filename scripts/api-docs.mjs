/**
 * Writes docs/api.md from the docstrings: every exported name of every door, as its declaration reads. And docs/llms.txt,
 * one page for assistants: the guide, and the API of the main door.
 *
 *   node scripts/api-docs.mjs
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));
const bin = (name) => join(root, 'node_modules/.bin', name);
const folder = mkdtempSync(join(tmpdir(), 'etcd-election-api-'));

/** `etcd-election/dev` and where its declarations are. */
function doors() {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return Object.entries(exports)
    .filter(([path]) => !path.endsWith('.json'))
    .map(([path, { types }]) => ({
      name: path.replace(/^\./, 'etcd-election'),
      file: join(folder, types.replace('./dist/', '')),
    }));
}

/** Exported names of a module, each with the file that declares it: follows `export { … } from`. */
function exportsOf(file) {
  const text = readFileSync(file, 'utf8');
  const found = [];
  for (const [, names, from] of text.matchAll(/^export (?:type )?\{([^}]*)\} from '([^']+)'/gms))
    for (const name of names.split(',').map((part) => part.trim().replace(/^type /, '')))
      if (name !== '') found.push({ name, file: join(dirname(file), from.replace(/\.(ts|js)$/, '.d.ts')) });
  for (const [, name] of text.matchAll(
    /^export (?:declare )?(?:abstract )?(?:class|interface|type|const|function) (\w+)/gm,
  ))
    found.push({ name, file });
  return found;
}

/** The declaration with its docstring: up to the line at the margin that closes it. */
function declarationOf({ name, file }) {
  const lines = readFileSync(file, 'utf8').split('\n');
  const start = lines.findIndex((line) =>
    new RegExp(`^(export )?(declare )?(abstract )?(class|interface|type|const|function) ${name}\\b`).test(
      line,
    ),
  );
  if (start === -1) throw new Error(`${name} is not declared in ${file}`);
  let end = start;
  while (!/[;}]$/.test(lines[end]) || /^\s/.test(lines[end])) end++;
  let first = start;
  if (lines[start - 1]?.trim() === '*/')
    do first--;
    while (!lines[first].startsWith('/**'));
  else if (lines[start - 1]?.startsWith('/**')) first--;
  const doc = lines.slice(first, start).join('\n');
  const code = lines
    .slice(start, end + 1)
    .filter((line) => !/^\s+(private |protected |#private)/.test(line))
    .join('\n')
    .replace(/^export (declare )?/, '')
    .replace(/^declare /, '');
  return { doc: proseOf(doc), code };
}

/** A docstring as Markdown. */
const proseOf = (doc) =>
  doc
    .replace(/^\/\*\*\s?|\s*\*\/$/g, '')
    .replace(/^ \* ?/gm, '')
    .replace(/\{@link (\w+)\}/g, '`$1`')
    .replace(/^@(throws|returns|param) ?/gm, (_, tag) => `\n**${tag}** `)
    .trim();

/** @param api the text of docs/api.md. */
function llms(api) {
  const { description } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const guide = readFileSync(join(root, 'docs/guide.md'), 'utf8').replace(/^# .*\n/, '');
  const [main, ...others] = api.split(/^(?=## `etcd-election)/m).slice(1);
  const names = others.map((part) => {
    const [, door] = /^## (`[^`]+`)/.exec(part);
    return `- ${door}: ${[...part.matchAll(/^### (`\w+`)/gm)].map(([, name]) => name).join(', ')}`;
  });
  const install =
    'npm install etcd-election etcd3. Node.js 20.19 or later, etcd 3.4 or later. An ES module, which CommonJS may require.';
  const parts = ['# etcd-election', `> ${description}`, install, guide.trim(), '# API', main.trim()];
  return `${[...parts, '## Other entries', names.join('\n')].join('\n\n')}\n`;
}

try {
  execFileSync(
    bin('tsc'),
    [
      '-p',
      join(root, 'tsconfig.build.json'),
      '--emitDeclarationOnly',
      '--declarationMap',
      'false',
      '--outDir',
      folder,
    ],
    {
      stdio: 'inherit',
    },
  );
  const parts = [
    '# API reference',
    'Made from the docstrings by `npm run docs:api`. The [reference](reference.md) says how to use it.',
  ];
  for (const door of doors()) {
    parts.push(`## \`${door.name}\``);
    for (const entry of exportsOf(door.file)) {
      const { doc, code } = declarationOf(entry);
      parts.push(`### \`${entry.name}\``, doc, `\`\`\`ts\n${code}\n\`\`\``);
    }
  }
  const file = join(root, 'docs/api.md');
  writeFileSync(file, `${parts.filter((part) => part !== '').join('\n\n')}\n`);
  execFileSync(bin('prettier'), ['--write', '--log-level', 'warn', file], { stdio: 'inherit' });
  writeFileSync(join(root, 'docs/llms.txt'), llms(readFileSync(file, 'utf8')));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
