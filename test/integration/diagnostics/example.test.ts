import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { expect, it, onTestFinished } from 'vitest';
import { ROOT, Program } from '../../support/programs.ts';

const EXAMPLE = 'examples/watchdog.ts';
/** The line of the function that never returns. */
const GUILTY_LINE =
  readFileSync(join(ROOT, EXAMPLE), 'utf8')
    .split('\n')
    .findIndex((line) => line.includes('function waitForTheLock')) + 1;

/** Bundled and minified into one file, as a service is deployed, with its source map. */
async function bundle(): Promise<{ folder: string; program: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'watchdog-example-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const program = join(folder, 'service.mjs');
  await build({
    entryPoints: [join(ROOT, EXAMPLE)],
    outfile: program,
    bundle: true,
    minifyWhitespace: true,
    sourcemap: 'linked',
    format: 'esm',
    platform: 'node',
    target: 'node20',
    conditions: ['etcd-election:source'],
    logLevel: 'error',
  });
  return { folder, program };
}

it('examples/watchdog.ts names the source line, during the runaway and afterwards', async () => {
  const { folder, program } = await bundle();
  const service = new Program(program, [], { env: { DIAGNOSTICS_PORT: '0', TMPDIR: folder } });
  const [, address] = await service.says(/^look at (\S+)$/m, 10_000);

  const top = await (await fetch(`${address}top?seconds=0.5`)).text();
  expect(service.stdout).not.toContain('turns again');
  expect(top).toContain(`waitForTheLock ${ROOT}${EXAMPLE}:${GUILTY_LINE}`);

  expect(await service.exit()).toBe(0);
  expect(service.stderr).toContain(`(${ROOT}${EXAMPLE}:`);
  const [, suspect, path] = await service.says(/^blocked: (.*)\nflame graph: (.*)$/m, 1_000);
  expect(suspect).toBe(`waitForTheLock (${ROOT}${EXAMPLE}:${GUILTY_LINE})`);
  expect(readFileSync(String(path), 'utf8')).toContain('waitForTheLock');
});
