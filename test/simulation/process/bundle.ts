/**
 * Bundles the library from `src/` with the program that uses it. Each simulated process runs the bundle with its
 * own variables. A list names what the bundle may import; anything else is an error.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { editing, type Edit } from '../../support/mutant.ts';
import { Code, type CodeOptions } from './code.ts';
import { GLOBALS, withOwnVariables } from './own-variables.ts';

const here = dirname(fileURLToPath(import.meta.url));
const inside = join(here, '..', 'inside');
const root = join(here, '..', '..', '..');
const source = join(root, 'src');

/** Replacements of modules that the library and the bundled packages import. */
const replacements: Readonly<Record<string, string>> = {
  'node:assert/strict': 'modules/assert.ts',
  'node:async_hooks': 'modules/async-hooks.ts',
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
  'node:worker_threads': 'modules/refused.ts',
  pino: 'modules/pino.ts',
  '@grpc/grpc-js': 'grpc/index.ts',
  '@grpc/proto-loader': 'modules/proto-loader.ts',
};

/** Packages in the bundle without changes. They use no clock and no timer but the globals. */
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

export async function bundle(edits: readonly Edit[] = [], options: CodeOptions = {}): Promise<Code> {
  const { outputFiles } = await build({
    entryPoints: [join(inside, 'program.ts')],
    inject: [join(inside, 'globals.ts')],
    absWorkingDir: root,
    bundle: true,
    write: false,
    platform: 'neutral',
    mainFields: ['main'],
    format: 'esm',
    target: 'node20',
    define: { __dirname: '"/simulated"', globalThis: GLOBALS },
    conditions: ['etcd-election:source', 'node', 'import'],
    logLevel: 'silent',
    plugins: [listed, ...(edits.length > 0 ? [editing(source, edits)] : [])],
  });

  return new Code(withOwnVariables(outputFiles[0]!.text), options);
}
