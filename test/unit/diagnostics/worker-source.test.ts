import { build } from 'esbuild';
import { expect, it } from 'vitest';
import { runWorker } from '../../../src/diagnostics/watchdog/worker.ts';

const FOLDER = new URL('../../../src/diagnostics/watchdog/', import.meta.url).pathname;

/**
 * The worker's code travels as text inside the package, because `tsc` alone builds it and a worker started from a
 * file breaks in bundles. After a change to anything the worker runs, write it anew with
 * `npx vitest run --project unit -u test/unit/diagnostics/worker-source.test.ts`.
 */
it('has the worker carry the code that stands in the source', async () => {
  const { outputFiles } = await build({
    stdin: {
      contents: `import { ${runWorker.name} } from './worker.ts';
import { parentPort, workerData } from 'node:worker_threads';
${runWorker.name}(parentPort, workerData);`,
      resolveDir: FOLDER,
      loader: 'ts',
    },
    bundle: true,
    format: 'cjs',
    platform: 'node',
    target: 'node20',
    write: false,
    legalComments: 'none',
    charset: 'utf8',
  });
  const code = (outputFiles[0]?.text ?? '').replace(/[\\`]|\$\{/g, '\\$&');
  const module = `/**
 * What the watchdog's worker runs, as text. Made from worker.ts and all it imports; never edited by hand: see
 * test/unit/diagnostics/worker-source.test.ts, which fails when it is out of date and says how to write it anew.
 */
export const workerSource: string = \`${code}\`;
`;
  await expect(module).toMatchFileSnapshot(`${FOLDER}worker-source.ts`);
});
