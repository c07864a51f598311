// The order of the layers in docs/design.md: a file imports from its own layer and from lower ones.
import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, posix } from 'node:path';
import { expect, test } from 'vitest';

const design = readFileSync('docs/design.md', 'utf8');
/** Lowest first. */
const layers = [...design.matchAll(/^\| \d+ +\|([^|]*)\|/gm)]
  .map(([, names]) => [...names!.matchAll(/`([^`]+)`/g)].map(([, name]) => name!))
  .reverse();
const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter(
  (name) => name.endsWith('.ts') && !/-source\.ts$|\.d\.ts$/.test(name),
);

/** The row of a file takes precedence over that of its folder. */
function layerOf(file: string): number {
  const named = layers.findIndex((names) => names.includes(file));
  return named >= 0 ? named : layers.findIndex((names) => names.includes(`${file.split('/')[0]}/`));
}

const imports = (file: string): string[] =>
  [...readFileSync(`src/${file}`, 'utf8').matchAll(/\bfrom '(\.[^']+)'/g)].map(([, path]) =>
    posix.normalize(posix.join(dirname(file), path!)),
  );

test('every file of src/ has a layer', () => {
  expect(layers.length).toBeGreaterThan(8);
  expect(files.filter((file) => layerOf(file) < 0)).toEqual([]);
});

test('imports point down, never up', () => {
  const up = files.flatMap((file) =>
    imports(file)
      .filter((imported) => layerOf(imported) > layerOf(file))
      .map((imported) => `${file} imports ${imported}`),
  );
  expect(up).toEqual([]);
});

test('the tools do not import each other', () => {
  const tools = ['cli/', 'dev/', 'diagnostics/', 'telemetry/'];
  const crossing = files.flatMap((file) =>
    imports(file)
      .filter((imported) => tools.some((tool) => imported.startsWith(tool) && !file.startsWith(tool)))
      .map((imported) => `${file} imports ${imported}`),
  );
  expect(crossing).toEqual([]);
});

test('no two files of the core have the same name', () => {
  const core = files.filter((file) => !/^(cli|dev|diagnostics|telemetry)\//.test(file));
  const names = core.map((file) => basename(file)).filter((name) => name !== 'index.ts');
  expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
});
