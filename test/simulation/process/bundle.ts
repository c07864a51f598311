/**
 * Bundles the library, as it stands in `src/`, with the program that uses it: one script, which is evaluated anew for each
 * simulated process. What the bundle may import is on a list; anything else is an error.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import vm from 'node:vm';
import { build, type Plugin } from 'esbuild';
import { editing, type Edit } from '../../support/mutant.ts';

const here = dirname(fileURLToPath(import.meta.url));
const inside = join(here, '..', 'inside');
const source = join(here, '..', '..', '..', 'src');

/** What stands in for what the library, and the packages in the bundle, import. */
const replacements: Readonly<Record<string, string>> = {
  'node:assert/strict': 'modules/assert.ts',
  'node:os': 'modules/os.ts',
  'node:crypto': 'modules/crypto.ts',
  'node:events': 'modules/events.ts',
  events: 'modules/events.ts',
  'node:timers/promises': 'modules/timers-promises.ts',
  'node:diagnostics_channel': 'modules/diagnostics-channel.ts',
  'node:util': 'modules/util.ts',
  'node:child_process': 'modules/refused.ts',
  'node:fs': 'modules/refused.ts',
  'node:path': 'modules/refused.ts',
  pino: 'modules/pino.ts',
  '@grpc/grpc-js': 'grpc/index.ts',
  '@grpc/proto-loader': 'modules/proto-loader.ts',
};

/** Packages that are part of the bundle as they are. They use no clock and no timer but the globals. */
const bundled: ReadonlySet<string> = new Set(['zod', 'cockatiel', 'etcd3', 'etcd-election', 'bignumber.js']);

const listed: Plugin = {
  name: 'listed',
  setup: (esbuild) => {
    esbuild.onResolve({ filter: /^[^./]/ }, ({ path, kind }) => {
      if (kind === 'entry-point' || bundled.has(path)) return undefined;
      const replacement = replacements[path];
      if (replacement === undefined) return { errors: [{ text: `"${path}" is not simulated` }] };
      return { path: join(inside, replacement) };
    });
  },
};

/** @returns the script of a process; its globals come from the context it is run in. */
export async function bundle(edits: readonly Edit[] = []): Promise<vm.Script> {
  const { outputFiles } = await build({
    entryPoints: [join(inside, 'program.ts')],
    inject: [join(inside, 'globals.ts')],
    bundle: true,
    write: false,
    platform: 'neutral',
    mainFields: ['main'],
    format: 'iife',
    target: 'node20',
    define: { __dirname: '"/simulated"' },
    conditions: ['etcd-election:source', 'node', 'import'],
    logLevel: 'silent',
    plugins: [listed, ...(edits.length > 0 ? [editing(source, edits)] : [])],
  });
  return new vm.Script(outputFiles[0]!.text, { filename: 'simulated-process.js' });
}
