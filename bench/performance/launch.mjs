/** Runs the benchmarks on every Node that we support, 20 included: bundled by esbuild, packages left out. */
import { build } from 'esbuild';
import { rmSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const folder = dirname(fileURLToPath(import.meta.url));
const root = resolve(folder, '../..');
const outdir = join(folder, 'dist', String(process.pid));
process.on('exit', () => rmSync(outdir, { recursive: true, force: true }));

const programs = (await readdir(folder)).filter((name) => name.endsWith('.ts'));
await build({
  entryPoints: programs.map((name) => join(folder, name)),
  outdir,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  packages: 'external',
  alias: {
    'etcd-election': join(root, 'src/index.ts'),
    'etcd-election/dev': join(root, 'src/dev/index.ts'),
  },
  logLevel: 'warning',
});
process.chdir(root);
await import(pathToFileURL(join(outdir, 'run.mjs')).href);
