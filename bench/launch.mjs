/**
 * Runs a TypeScript program of bench/ on every supported Node, including 20. esbuild bundles it without
 * packages, so that the measured code is plain JavaScript with the names of the source.
 * `node bench/launch.mjs bench/incident/incident.ts [arguments]`
 * Its child processes are bundled too: every `*.ts` of its folder.
 */
import { build } from 'esbuild';
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import bundleSources from '../scripts/bundle-sources.mjs';

const bench = dirname(fileURLToPath(import.meta.url));
const root = dirname(bench);
const [entry, ...args] = process.argv.slice(2);
const folder = dirname(resolve(entry));

await bundleSources();

// Not under node_modules: in a profile, code there counts as a package, not as the program's own.
await mkdir(join(bench, 'dist'), { recursive: true });
const outdir = await mkdtemp(join(bench, 'dist', 'run-'));
process.on('exit', () => rmSync(outdir, { recursive: true, force: true }));

/**
 * A program of bench/ finds its children beside the bundle. Code from src/ and test/ finds its files in its own
 * folder.
 */
const filesOfOthers = {
  name: 'files of others',
  setup(builder) {
    builder.onLoad({ filter: /\/(?:src|test)\/.*\.ts$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8');
      if (!source.includes('import.meta.url')) return undefined;
      const url = JSON.stringify(pathToFileURL(path).href);
      return { contents: source.replaceAll('import.meta.url', () => url), loader: 'ts' };
    });
  },
};

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
  // In a separate file, so that the measured process does not load it. The watchdog reads it.
  sourcemap: true,
  sourcesContent: false,
  alias: {
    'etcd-election': join(root, 'src/index.ts'),
    'etcd-election/dev': join(root, 'src/dev/index.ts'),
    'etcd-election/diagnostics': join(root, 'src/diagnostics/index.ts'),
  },
  plugins: [filesOfOthers],
  logLevel: 'warning',
});

const program = join(outdir, basename(entry).replace(/\.ts$/, '.mjs'));
process.argv = [process.argv[0], program, ...args];
process.chdir(root);
await import(pathToFileURL(program).href);
