import { build } from 'esbuild';
import { expect, it } from 'vitest';
import { runHelper } from '../../src/last-will/helper.ts';

const FOLDER = new URL('../../src/last-will/', import.meta.url).pathname;

/**
 * The helper's code travels as text inside the package: no path that a bundle could break, and no loader for
 * TypeScript. After a change to anything the helper runs, write it anew with
 * `npx vitest run --project unit test/unit/last-will-source.test.ts -u`.
 */
it('has the helper carry the code that stands in the source', async () => {
  const { outputFiles } = await build({
    stdin: {
      contents: `import { ${runHelper.name} } from './helper.ts';
${runHelper.name}(process.stdin, () => process.exit());`,
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
 * What the helper process runs, as text. Made from helper.ts and all it imports; never edited by hand: see
 * test/unit/last-will-source.test.ts, which fails when it is out of date and says how to write it anew.
 */
export const helperSource: string = \`${code}\`;
`;
  await expect(module).toMatchFileSnapshot(`${FOLDER}helper-source.ts`);
});
