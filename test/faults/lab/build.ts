/** Bundles a candidate from source, so that it can run as its own process, on request with a mutant. */
import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { editing, type Mutant } from '../../support/mutant.ts';

/** The project's folder. */
export const project: string = projectFolder(dirname(fileURLToPath(import.meta.url)));
/** Bundles lie in a folder from which Node finds the dependencies that are not bundled. */
const outputFolder = join(project, 'node_modules', '.cache', 'etcd-election-lab');

function projectFolder(from: string): string {
  // In a bundle, this file itself lies in the output folder.
  const index = from.indexOf(join('/', 'node_modules', '.cache'));
  return index >= 0 ? from.slice(0, index) : join(from, '..', '..', '..');
}

process.once('exit', () => rmSync(join(outputFolder, `${process.pid}`), { recursive: true, force: true }));

const built = new Map<string, Promise<string>>();

/** @returns path of a module that `node` can run. */
export function buildCandidate(sabotage?: Mutant): Promise<string> {
  return bundle('candidate', sabotage);
}

function bundle(entry: string, sabotage?: Mutant): Promise<string> {
  const name = sabotage === undefined ? entry : `${entry}-${sabotage.name}`;
  let path = built.get(name);
  if (path === undefined) built.set(name, (path = bundleOnce(entry, name, sabotage)));
  return path;
}

async function bundleOnce(entry: string, name: string, sabotage: Mutant | undefined): Promise<string> {
  const outfile = join(outputFolder, `${process.pid}`, `${name}.mjs`);
  await build({
    entryPoints: [join(project, 'test', 'faults', 'lab', `${entry}.ts`)],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'bundle',
    conditions: ['etcd-election:source'],
    external: ['etcd3', 'pino', 'zod', 'cockatiel', 'esbuild'],
    sourcemap: 'inline',
    logLevel: 'error',
    plugins: sabotage === undefined ? [] : [editing(join(project, 'src'), sabotage.edits)],
  });
  return outfile;
}
