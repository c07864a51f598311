/**
 * Runs the simulation on every supported Node, including 20, which cannot run TypeScript.
 * - `npm run simulate`: a minute, from a random seed.
 * - `npm run simulate -- --seed 7`: one run, with its story.
 * - `npm run simulate -- --hours 100`: that much simulated time.
 * - `npm run simulate -- --hours 100 --jobs 2`: in two processes.
 * - `npm run simulate -- --until-found`: until a promise is broken.
 * - `npm run simulate -- --mutants`: deliberate mistakes in the library; each must be found.
 * - `npm run simulate -- --mutants --named 'no margin|a grant'`: only those whose names match.
 * - `npm run simulate -- --queue`: only long queues; also with the options above.
 * - `--brief` with any of them: of a broken run only the seed and the broken promises, without a search for the needed faults.
 */
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import bundleSources from '../../scripts/bundle-sources.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const folder = join(here, '..', '..', 'node_modules', '.cache', 'etcd-election-lab');

/** Files that the program bundles itself are found in its own folder. */
const whereItStands = {
  name: 'where it stands',
  setup(builder) {
    builder.onLoad({ filter: /\/test\/simulation\/.*\.ts$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8');
      if (!source.includes('import.meta.url')) return undefined;
      const url = JSON.stringify(pathToFileURL(path).href);
      return { contents: source.replaceAll('import.meta.url', () => url), loader: 'ts' };
    });
  },
};

await bundleSources();
await mkdir(folder, { recursive: true });
const outfile = join(folder, `simulate-${process.pid}.mjs`);
await build({
  entryPoints: [join(here, 'run', 'simulate.ts')],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  packages: 'external',
  plugins: [whereItStands],
  logLevel: 'error',
});
process.argv[1] = outfile; // the program that jobs run
await import(pathToFileURL(outfile).href);
