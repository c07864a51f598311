import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type BuildOptions, build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CpuProfile } from '../../../src/diagnostics/formats/cpu-profile.ts';
import { inSource } from '../../../src/diagnostics/profile/source-maps.ts';

const SOURCE = `
interface Lock {
  readonly owner: string;
}

export async function newLeasesLock(ip: string): Promise<Lock> {
  const owner = ip.trim();
  return { owner };
}

export function retryLoop(): void {
  const lock = newLeasesLock(
    ' 10.0.0.7 ',
  );
  void lock;
}
`;
const lineOf = (text: string, part: string): number =>
  text.split('\n').findIndex((line) => line.includes(part));

let folder: string;
let source: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'source-maps-'));
  mkdirSync(join(folder, 'src'));
  source = join(folder, 'src/locks.ts');
  writeFileSync(source, SOURCE);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/**
 * Compiles the source, and makes the profile that V8 would give if `newLeasesLock` spent its time on its first
 * line.
 */
async function compiled(
  name: string,
  options: BuildOptions,
): Promise<{ profile: CpuProfile; text: string; path: string }> {
  const path = join(folder, `${name}.mjs`);
  const { outputFiles = [] } = await build({
    entryPoints: [source],
    outfile: path,
    format: 'esm',
    write: false,
    ...options,
  });
  for (const file of outputFiles) {
    mkdirSync(join(file.path, '..'), { recursive: true });
    writeFileSync(file.path, file.contents);
  }
  const text = outputFiles.find((file) => file.path === path)?.text ?? '';
  return { profile: profileOf(pathToFileURL(path).href, text), text, path };
}

function profileOf(url: string, text: string): CpuProfile {
  const before = text.slice(0, text.indexOf('async function') + 'async function newLeasesLock'.length);
  const lineNumber = before.split('\n').length - 1;
  const columnNumber = before.length - before.lastIndexOf('\n') - 1;
  const callFrame = { functionName: 'newLeasesLock', url, lineNumber, columnNumber };
  const burnt = lineOf(text, 'ip.trim()') + 1;
  return {
    nodes: [
      { id: 1, callFrame: { functionName: '(root)', url: '', lineNumber: -1 }, children: [2] },
      { id: 2, callFrame, positionTicks: [{ line: burnt, ticks: 7 }] },
    ],
    startTime: 0,
    endTime: 10,
  };
}

describe('a profile of compiled code', () => {
  it.each<[string, BuildOptions]>([
    ['a map beside the file', { sourcemap: 'linked' }],
    ['a map inside the file', { sourcemap: 'inline' }],
    ['a map with a root', { sourcemap: 'linked', sourceRoot: '.' }],
    ['a map without source texts', { sourcemap: 'linked', sourcesContent: false }],
  ])('names the source line: %s', async (name, options) => {
    const { profile, text } = await compiled(name.replaceAll(' ', '-'), options);
    expect(lineOf(text, 'async function')).not.toBe(lineOf(SOURCE, 'async function')); // otherwise this would prove nothing
    const [, node] = inSource(profile).nodes;
    expect(node?.callFrame).toMatchObject({
      functionName: 'newLeasesLock',
      url: pathToFileURL(source).href,
      lineNumber: lineOf(SOURCE, 'async function'),
    });
    expect(node?.positionTicks).toEqual([{ line: lineOf(SOURCE, 'ip.trim()') + 1, ticks: 7 }]);
  });

  it('names the source line in a CommonJS file, which V8 knows by its path', async () => {
    const { text, path } = await compiled('required', { sourcemap: 'linked' });
    const [, node] = inSource(profileOf(path, text)).nodes;
    expect(node?.callFrame.url).toBe(pathToFileURL(source).href);
  });

  it('names the source line in a file of one long line', async () => {
    const { profile } = await compiled('minified', { sourcemap: 'linked', minifyWhitespace: true });
    const [, node] = inSource(profile).nodes;
    expect(node?.callFrame).toMatchObject({
      url: pathToFileURL(source).href,
      lineNumber: lineOf(SOURCE, 'async function'),
    });
  });

  it.each<[string, (path: string, text: string) => void]>([
    ['no map', (path, text) => writeFileSync(path, text.replace(/\/\/# source.*/, ''))],
    ['a missing map', (path) => rmSync(`${path}.map`)],
    ['an invalid map', (path) => writeFileSync(`${path}.map`, '{}')],
    [
      'a map that is a folder',
      (path, text) => writeFileSync(path, text.replace(/locks.*\.map|broken.*\.map/, '.')),
    ],
    [
      'a map outside the folder',
      (path, text) => writeFileSync(path, text.replace(/sourceMappingURL=/, '$&http://127.0.0.1/')),
    ],
    [
      'a map that is too large',
      (path) =>
        writeFileSync(
          `${path}.map`,
          JSON.stringify({ version: 3, sources: ['x.ts'], mappings: ';'.repeat(3e6) }),
        ),
    ],
    ['a missing file', (path) => rmSync(path)],
  ])('is unchanged: %s', async (name, spoil) => {
    const { profile, text, path } = await compiled(`broken-${name.replaceAll(' ', '-')}`, {
      sourcemap: 'linked',
    });
    expect(inSource(profile)).not.toEqual(profile);
    spoil(path, text);
    expect(inSource(profile)).toEqual(profile);
  });

  it('leaves packages unchanged', async () => {
    const { profile } = await compiled('node_modules/locks/index', { sourcemap: 'linked' });
    expect(inSource(profile)).toEqual(profile);
  });

  it('leaves V8 and Node unchanged', () => {
    const profile = profileOf('node:internal/process/task_queues', SOURCE);
    expect(inSource(profile)).toEqual(profile);
    expect(inSource(profileOf('evalmachine.<anonymous>', SOURCE)).nodes).toHaveLength(2);
  });

  it('leaves code without a source unchanged', async () => {
    const { profile } = await compiled('appended', {
      sourcemap: 'linked',
      footer: { js: 'function added() {}' },
    });
    const [root, node] = profile.nodes;
    const added = { ...node!, callFrame: { ...node!.callFrame, lineNumber: 9_999 } };
    expect(inSource({ ...profile, nodes: [root!, added] }).nodes[1]).toEqual(added);
  });
});
