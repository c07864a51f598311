/**
 * The same role for a Go program on etcd's own concurrency package. Both come from Debian's packages: apt-get
 * fetches them and they are unpacked into `.etcd/`, without installation. Without Go or Debian, the rows of Go
 * are omitted.
 */
import { execFile } from 'node:child_process';
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Actor } from './company.ts';
import { goSource } from './go-source.ts';

const run = promisify(execFile);
let built: Promise<string | undefined> | undefined;

/** A process that obeys the orders of a pair; undefined if it cannot be built. */
export async function goActor(hosts: readonly string[]): Promise<Actor | undefined> {
  const program = await (built ??= buildOnce().catch((error: Error) => {
    console.error(`no Go program to compare with: ${error.message.split('\n')[0]}`);
    return undefined;
  }));
  return program === undefined ? undefined : new Actor(program, [...hosts]);
}

async function buildOnce(): Promise<string> {
  const folder = join(process.cwd(), '.etcd', 'go');
  const root = join(folder, 'root');
  const debs = join(folder, 'debs');
  await mkdir(debs, { recursive: true });
  if (!(await exists(join(root, 'usr/share/gocode/src/go.etcd.io/etcd')))) {
    const { stdout } = await run('apt-cache', [
      'depends',
      '--recurse',
      ...['recommends', 'suggests', 'conflicts', 'breaks', 'replaces', 'enhances'].map(
        (kind) => `--no-${kind}`,
      ),
      'golang-etcd-server-dev',
    ]);
    // Two generations of one library are in the same place: etcd 3.4 is built with the older one.
    const wanted = new Set(
      stdout.split('\n').filter((name) => /^golang-.*-dev$/.test(name) && !name.endsWith('protobuf-1-5-dev')),
    );
    await run('apt-get', ['download', ...wanted], { cwd: debs });
    await mkdir(root, { recursive: true });
    for (const deb of await readdir(debs)) await run('dpkg', ['-x', join(debs, deb), root]);
  }
  const source = join(folder, 'main.go');
  const program = join(folder, 'elect');
  await writeFile(source, goSource);
  await run('go', ['build', '-o', program, source], {
    env: {
      ...process.env,
      GO111MODULE: 'off',
      GOFLAGS: '',
      GOPATH: join(root, 'usr/share/gocode'),
      GOCACHE: join(folder, 'cache'),
    },
  });
  return program;
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
