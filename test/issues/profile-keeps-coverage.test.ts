// `Profiler.disable`, and the end of a session that had enabled the profiler, end the coverage of the whole process. So a
// program under c8 lost its branches when it took a profile.
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { compile, Program } from '../support/programs.ts';

interface Covered {
  readonly functionName: string;
  readonly isBlockCoverage: boolean;
  readonly ranges: readonly { readonly count: number }[];
}

test('captureProfile() leaves the coverage of NODE_V8_COVERAGE alone', async () => {
  const [file] = await compile(['test/support/coverage-child.ts']);
  const folder = await mkdtemp(join(tmpdir(), 'etcd-election-coverage-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const program = new Program(file!, ['2'], { env: { NODE_V8_COVERAGE: folder } });
  expect(await program.exit(), program.said).toBe(0);
  expect(program.stdout).toBe('large small aborted\n');

  const [name] = await readdir(folder);
  const { result } = JSON.parse(await readFile(join(folder, name!), 'utf8')) as {
    result: readonly { readonly url: string; readonly functions: readonly Covered[] }[];
  };
  const { functions } = result.find(({ url }) => url.endsWith('coverage-child.mjs'))!;
  const branchesOf = (wanted: string) => functions.find(({ functionName }) => functionName === wanted);
  expect(branchesOf('earlier')).toMatchObject({
    isBlockCoverage: true,
    ranges: [{ count: 2 }, { count: 0 }],
  });
  expect(branchesOf('later')).toMatchObject({ isBlockCoverage: true, ranges: [{ count: 1 }, { count: 0 }] });
});
