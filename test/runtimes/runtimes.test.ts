import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { ROOT } from '../support/programs.ts';

// The published package in every runtime that the README names. `npm run node:fetch` downloads them.

const cache = join(ROOT, 'node_modules/.cache');
const DENO = ['run', '-A', '--node-modules-dir=manual'];
const runtimes: readonly [name: string, program: string, launch: readonly string[]][] = [
  ['this Node', process.execPath, []],
  ...['20', '22', '24', '26'].map(
    (major) =>
      [`Node ${major}`, join(cache, `node-${major}/package/bin/node`), []] as [string, string, string[]],
  ),
  ['Bun', join(cache, 'bun/package/bin/bun'), []],
  ['Deno', join(cache, 'deno/package/deno'), DENO],
];

const run = promisify(execFile);
let project: string;

beforeAll(async () => {
  project = mkdtempSync(join(tmpdir(), 'etcd-election-runtimes-'));
  const source = join(project, 'source');
  for (const name of ['package.json', 'README.md', 'tsconfig.json', 'tsconfig.build.json', 'src'])
    cpSync(join(ROOT, name), join(source, name), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(source, 'node_modules'));
  await run(join(ROOT, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.build.json'], { cwd: source });
  await run(process.execPath, [join(ROOT, 'scripts/bundle-package.mjs'), join(source, 'dist')]);
  const modules = join(project, 'node_modules');
  mkdirSync(modules);
  for (const name of ['etcd3', 'pino', 'zod', 'cockatiel'])
    symlinkSync(join(ROOT, 'node_modules', name), join(modules, name));
  mkdirSync(join(modules, 'etcd-election'));
  for (const name of ['package.json', 'dist'])
    cpSync(join(source, name), join(modules, 'etcd-election', name), { recursive: true });
  // Deno takes from node_modules only packages that package.json names.
  writeFileSync(join(project, 'package.json'), '{ "dependencies": { "etcd-election": "*", "etcd3": "*" } }');
  cpSync(join(ROOT, 'test/runtimes/smoke.mjs'), join(project, 'smoke.mjs'));
}, 120_000);
afterAll(() => rmSync(project, { recursive: true, force: true }));

describe.each(runtimes)('%s (skipped where it is absent: npm run node:fetch)', (name, program, launch) => {
  test.skipIf(!existsSync(program))(
    'elects, hands over, writes under the fence, survives a crash, leaves nothing behind',
    async () => {
      const prefix = `runtimes-${process.pid}-${name.replaceAll(' ', '')}/`;
      const endpoints = inject('etcd').endpoints.join();
      const { stdout } = await run(program, [...launch, 'smoke.mjs', endpoints, prefix], {
        cwd: project,
        env: { ...process.env, NODE_OPTIONS: '', LAUNCH: JSON.stringify(launch) },
        timeout: 45_000, // the process ends by itself
      });
      const said = JSON.parse(stdout) as Record<string, unknown>;
      expect(said).toMatchObject({
        tokensGrow: true,
        lateWriteRefused: true,
        written: 'by bob',
        keysLeft: 0,
        electionsLeft: 0,
      });
      expect(said['handOverMs']).toBeLessThan(5_000);
      // With the last will: well before the lease of 10 s could expire.
      expect(said['afterCrashMs']).toBeLessThan(5_000);
    },
  );
});
