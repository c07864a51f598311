/**
 * Writes docs/api.md from the docstrings: every exported name of every entry point, with its declaration and the declarations
 * that it needs. And docs/llms.txt, one page for assistants: the guide, and the API of the main entry point.
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

/** The entry points, such as `etcd-election/dev`, with the paths of their declarations. */
function doors() {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return Object.entries(exports)
    .filter(([path]) => !path.endsWith('.json'))
    .map(([path, { types }]) => ({
      name: path.replace(/^\./, 'etcd-election'),
      file: join(folder, types.replace('./dist/', '')),
    }));
}

/** Exported names of a module, each with the file that declares it. Follows `export { … } from`. */
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

/** How deep the brackets nest after the code, which may hold comments and strings. */
const depthAfter = (code) => {
  const bare = code.replace(/\/\*[^]*?(\*\/|$)|\/\/.*|'[^'\n]*'|"[^"\n]*"/g, '');
  return [...bare].reduce(
    (depth, char) => depth + Number('{(['.includes(char)) - Number('})]'.includes(char)),
    0,
  );
};

/** Lines of a declaration: to the `;` outside all brackets that closes it, or to the `}` of a class or an interface. */
function linesOf(lines, start) {
  const isBlock = /^(?:export )?(?:declare )?(?:abstract )?(?:class|interface) /.test(lines[start]);
  for (let end = start; end < lines.length; end++) {
    const found = lines.slice(start, end + 1);
    if (lines[end].endsWith(isBlock ? '}' : ';') && depthAfter(found.join('\n')) === 0) return found;
  }
  throw new Error(`no end: ${lines[start]}`);
}

const DECLARED = '(?:export )?(?:declare )?(?:abstract )?(?:class|interface|type|const|function)';

/** The declaration with its docstring. undefined if the file does not declare the name. */
function declarationOf({ name, file }) {
  const lines = readFileSync(file, 'utf8').split('\n');
  const start = lines.findIndex((line) => new RegExp(`^${DECLARED} ${name}\\b`).test(line));
  if (start === -1) return undefined;
  let first = start;
  if (lines[start - 1]?.trim() === '*/')
    do first--;
    while (!lines[first].startsWith('/**'));
  else if (lines[start - 1]?.startsWith('/**')) first--;
  const doc = lines.slice(first, start).join('\n');
  const code = linesOf(lines, start)
    .filter((line) => !/^\s+(private |protected |#private)/.test(line))
    .join('\n')
    .replace(/^export (declare )?/, '')
    .replace(/^declare /, '');
  return { doc, code };
}

/** Where a file takes a name from: the name there, and the file. */
function originOf(name, file) {
  for (const [, names, from] of readFileSync(file, 'utf8').matchAll(
    /^import (?:type )?\{([^}]*)\} from '(\.[^']+)'/gms,
  ))
    for (const part of names.split(',')) {
      const [, there, here = there] = /^\s*(?:type )?(\w+)(?: as (\w+))?\s*$/.exec(part) ?? [];
      if (here === name) return { name: there, file: join(dirname(file), from.replace(/\.ts$/, '.d.ts')) };
    }
  return { name, file };
}

/**
 * Declarations of the package that a declaration needs and no door exports. They follow it, under the names that it uses.
 *
 * @param known names that the reader has.
 */
function neededBy({ code, file }, known) {
  const found = [];
  for (const name of new Set(code.replace(/\/\*[^]*?\*\/|'[^'\n]*'/g, '').match(/\b[A-Z]\w+/g))) {
    if (known.has(name)) continue;
    const origin = originOf(name, file);
    const declaration = declarationOf(origin);
    if (declaration === undefined) continue; // JavaScript's own, or of another package
    known.add(name);
    const own = { ...declaration, code: declaration.code.replace(origin.name, name), file: origin.file };
    found.push(`${own.doc}\n${own.code}`.trim(), ...neededBy(own, known));
  }
  return found;
}

function fail(message) {
  throw new Error(message);
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
  const entries = doors().map(({ name, file }) => ({ name, exported: exportsOf(file) }));
  const exported = entries.flatMap((door) => door.exported.map(({ name }) => name));
  for (const door of entries) {
    parts.push(`## \`${door.name}\``);
    for (const entry of door.exported) {
      const { doc, code } = declarationOf(entry) ?? fail(`${entry.name} is not declared in ${entry.file}`);
      const needed = neededBy({ code, file: entry.file }, new Set(exported));
      parts.push(
        `### \`${entry.name}\``,
        proseOf(doc),
        `\`\`\`ts\n${[code, ...needed].join('\n\n')}\n\`\`\``,
      );
    }
  }
  const file = join(root, 'docs/api.md');
  writeFileSync(file, `${parts.filter((part) => part !== '').join('\n\n')}\n`);
  execFileSync(bin('prettier'), ['--write', '--log-level', 'warn', file], { stdio: 'inherit' });
  writeFileSync(join(root, 'docs/llms.txt'), llms(readFileSync(file, 'utf8')));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
