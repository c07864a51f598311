/** Debian's libfaketime gives one process its own wall clock. It is downloaded and unpacked, never installed. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { project } from './build.ts';

const PATIENCE_MS = 60_000;

let found: Promise<string | undefined> | undefined;

/** @returns path of the library; undefined if this is not Debian, or if its archive does not answer. */
export function libfaketime(): Promise<string | undefined> {
  return (found ??= find().catch(() => undefined));
}

async function find(): Promise<string | undefined> {
  const folder = join(project, '.etcd', 'faketime');
  return (await libraryIn(folder)) ?? (await download(folder));
}

async function libraryIn(folder: string): Promise<string | undefined> {
  const files = await readdir(folder, { recursive: true }).catch(() => []);
  const file = files.find((name) => name.endsWith('libfaketime.so.1'));
  return file === undefined ? undefined : join(folder, file);
}

async function download(folder: string): Promise<string | undefined> {
  await mkdir(join(project, '.etcd'), { recursive: true });
  await writeFile(join(project, '.etcd', '.gitignore'), '*\n');
  const work = await mkdtemp(join(project, '.etcd', 'fetch-'));
  try {
    const options = { cwd: work, timeout: PATIENCE_MS };
    await promisify(execFile)(
      'apt-get',
      ['-q', '-o', 'APT::Sandbox::User=root', 'download', 'libfaketime'],
      options,
    );
    const [archive] = (await readdir(work)).filter((name) => name.endsWith('.deb'));
    await promisify(execFile)('dpkg-deb', ['-x', join(work, archive!), join(work, 'root')], options);
    await rename(join(work, 'root'), folder).catch(() => undefined); // another process was faster
    return await libraryIn(folder);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/**
 * Environment in which the wall clock of a process follows a file; undefined without libfaketime.
 * @param clockFile holds the offset, as `+3600s`.
 */
export async function faketime(clockFile: string): Promise<NodeJS.ProcessEnv | undefined> {
  const library = await libfaketime();
  if (library === undefined) return undefined;
  await setWallClock(clockFile, 0);
  return {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: clockFile,
    FAKETIME_NO_CACHE: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    DONT_FAKE_MONOTONIC: '1',
  };
}

export async function setWallClock(clockFile: string, offsetSeconds: number): Promise<void> {
  // The file is replaced in one step, so that no reader sees half of it.
  await writeFile(`${clockFile}.new`, `${offsetSeconds < 0 ? '' : '+'}${offsetSeconds}s\n`);
  await rename(`${clockFile}.new`, clockFile);
}
