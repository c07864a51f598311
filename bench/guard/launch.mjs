/**
 * Runs a TypeScript program of bench/ on every Node that we support, 20 included: bundled by esbuild, packages left
 * out, so that what is measured is plain JavaScript with the names of the source.
 *
 *   node bench/guard/launch.mjs bench/incident/incident.ts [arguments]
 *
 * Programs that it starts as child processes lie beside it, bundled with it: every `*.ts` of its folder.
 */
import { build } from 'esbuild';
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, readdir } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const [entry, ...args] = process.argv.slice(2);
const folder = dirname(resolve(entry));
const cache = join(root, 'node_modules/.cache');
await mkdir(cache, { recursive: true });
const outdir = await mkdtemp(join(cache, 'etcd-election-bench-'));
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

const program = join(outdir, basename(entry).replace(/\.ts$/, '.mjs'));
process.argv = [process.argv[0], program, ...args];
await import(pathToFileURL(program).href);
