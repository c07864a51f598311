import { execFile } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { compile, ROOT } from '../support/programs.ts';

// etcd on a machine without one: from Debian's packages, in a folder of the project.

const hasApt = existsSync('/usr/bin/apt-get') && existsSync('/usr/bin/dpkg-deb');

let program: string;
beforeAll(async () => {
  const source = join(ROOT, 'node_modules/.cache/print-etcd.ts');
  mkdirSync(dirname(source), { recursive: true });
  writeFileSync(source, "import { etcdPath } from 'etcd-election/dev'; console.log(await etcdPath());");
  [program = ''] = await compile([relative(ROOT, source)]);
  rmSync(source);
});

/**
 * Looks for an etcd in an empty project, with none on the `PATH`.
 * @returns its path and version.
 */
async function findEtcd(tools = ''): Promise<{ path: string; version: string }> {
  const project = mkdtempSync(join(tmpdir(), 'etcd-election-debian-'));
  onTestFinished(() => rmSync(project, { recursive: true, force: true }));
  writeFileSync(join(project, 'package.json'), '{}');
  const env = { ...process.env, PATH: `${tools}:/usr/bin:/bin` };
  const { stdout } = await promisify(execFile)(process.execPath, [program], { cwd: project, env });
  const path = stdout.trim();
  const { stdout: said } = await promisify(execFile)(path, ['--version']);
  return { path: relative(project, path), version: /etcd Version: (\S+)/.exec(said)![1]! };
}

describe.skipIf(!hasApt)('without an etcd on the PATH', () => {
  test('uses the newest etcd that Debian has', async () => {
    const { path, version } = await findEtcd();
    expect(path).toBe('.etcd/newest/etcd');
    expect(version).not.toMatch(/^3\.[0-4]\./);
  });

  test("uses the package of this machine's own release if no other is available", async () => {
    const tools = mkdtempSync(join(tmpdir(), 'etcd-election-tools-'));
    onTestFinished(() => rmSync(tools, { recursive: true, force: true }));
    writeFileSync(
      join(tools, 'apt-get'),
      '#!/bin/sh\ncase "$*" in *SourceList*) echo "no such release" >&2; exit 100;; esac\nexec /usr/bin/apt-get "$@"\n',
    );
    chmodSync(join(tools, 'apt-get'), 0o755);
    expect((await findEtcd(tools)).path).toBe('.etcd/debian/etcd');
  });
});
