/** The package as users get it: packed, and installed into an empty project before the tests of the file that imports this one. */
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll } from 'vitest';
import { ROOT } from './programs.ts';

/** An installation asks the registry, on a busy machine. */
export const INSTALL_MS = 180_000;

interface Manifest {
  readonly version: string;
  readonly exports: Record<string, unknown>;
  readonly peerDependenciesMeta: Record<string, { optional: boolean }>;
}

export const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest;
/** The import paths of a user: `etcd-election`, `etcd-election/dev` … */
export const doors = Object.keys(manifest.exports)
  .filter((path) => !path.endsWith('.json'))
  .map((path) => path.replace(/^\./, 'etcd-election'));
/** This entry point imports its optional peer. */
export const needsPeer = 'etcd-election/opentelemetry';

export let folder: string;
export let project: string;
export let packed: string[];
export let tarball: string;

/**
 * Runs a program to its end.
 * @throws with its output if the exit code is not 0.
 */
export async function run(
  file: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<string> {
  try {
    const { stdout, stderr } = await promisify(execFile)(file, args, {
      cwd: options.cwd ?? project,
      env: { ...process.env, npm_config_fund: 'false', npm_config_audit: 'false', ...options.env },
      maxBuffer: 16 * 1024 * 1024,
    });
    return stdout + (stderr.includes('Warning') ? stderr : '');
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`${file} ${args.join(' ')}: ${String(error)}\n${stdout}\n${stderr}`, { cause: error });
  }
}

export function write(name: string, text: string): string {
  writeFileSync(join(project, name), text);
  return name;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'etcd-election-package-'));
  project = join(folder, 'project');
  mkdirSync(project);
  // Built outside the repository, so that concurrent users of its dist/ are not disturbed.
  const source = join(folder, 'source');
  for (const name of [
    'package.json',
    'tsconfig.json',
    'tsconfig.build.json',
    'src',
    'docs',
    'examples',
    'bench',
    'README.md',
    'CHANGELOG.md',
    'CONTRIBUTING.md',
    'SECURITY.md',
    'LICENSE',
    'docker-compose.yml',
  ])
    cpSync(join(ROOT, name), join(source, name), {
      recursive: true,
      filter: (path) => !path.startsWith(join(ROOT, 'examples/dist')),
    });
  symlinkSync(join(ROOT, 'node_modules'), join(source, 'node_modules'));
  await run(join(ROOT, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.build.json'], { cwd: source });
  await run(process.execPath, [join(ROOT, 'scripts/bundle-package.mjs'), join(source, 'dist')]);
  const listed = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
    cwd: source,
  });
  const packs = JSON.parse(listed) as
    | { filename: string; files: { path: string }[] }[]
    | Record<string, { filename: string; files: { path: string }[] }>;
  const [pack] = Object.values(packs);
  tarball = join(folder, pack!.filename);
  packed = pack!.files.map(({ path }) => path);
  write('package.json', '{ "name": "empty", "private": true }');
  await run('npm', ['install', '--prefer-offline', tarball, '@types/node@20']);
}, INSTALL_MS);
afterAll(() => rmSync(folder, { recursive: true, force: true }));
