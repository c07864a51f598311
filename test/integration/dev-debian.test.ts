import { execFile } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { compile, ROOT } from '../support/programs.ts';

// etcd on a machine that has none: from Debian's packages, into a folder of the project.

const hasApt = existsSync('/usr/bin/apt-get') && existsSync('/usr/bin/dpkg-deb');

let program: string;
beforeAll(async () => {
  const source = join(ROOT, 'node_modules/.cache/print-etcd.ts');
  mkdirSync(dirname(source), { recursive: true });
  writeFileSync(source, "import { etcdPath } from 'etcd-election/dev'; console.log(await etcdPath());");
  [program = ''] = await compile([relative(ROOT, source)]);
  rmSync(source);
});

/** In an empty project, with no etcd on the `PATH`. @returns where its etcd is, and the version. */
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
  test('the newest that Debian has', async () => {
    const { path, version } = await findEtcd();
    expect(path).toBe('.etcd/newest/etcd');
    expect(version).not.toMatch(/^3\.[0-4]\./);
  });

  test('where only the package of this machine`s own release can be had: that one', async () => {
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
