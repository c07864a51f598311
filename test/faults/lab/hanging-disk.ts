/**
 * A disk that hangs: a member's `fdatasync` and `fsync` take seconds, while everything else of it goes on. Made by
 * strace's fault injection (Debian's package `strace`), which may attach to a process of ours as root.
 *
 * It is not what a freeze is. A frozen member answers nothing. A member whose disk hangs keeps its connections and
 * answers whatever needs no disk; only its raft loop is stuck, so it does not learn that the others have moved on.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { EtcdMember } from 'etcd-election/dev';

const PATIENCE_MS = 10_000;
const SYNCS = 'fdatasync,fsync';

/** Kinds of this fault. */
export const HANGING_DISK = {
  ofLeader: 'hang-disk-of-etcd-leader',
  ofFollower: 'hang-disk-of-etcd-follower',
} as const;

let possible: Promise<string | undefined> | undefined;

/** @returns why disks cannot be made to hang on this machine; undefined where they can. */
export function whyNoDiskHangs(): Promise<string | undefined> {
  return (possible ??= tryStrace());
}

/** Traces a process as short as can be, to see whether this machine lets us. */
async function tryStrace(): Promise<string | undefined> {
  const options = [
    '-f',
    '-qq',
    '-o',
    '/dev/null',
    '-e',
    `trace=${SYNCS}`,
    '-e',
    `inject=${SYNCS}:delay_enter=1`,
  ];
  return promisify(execFile)('strace', [...options, 'true'], { timeout: PATIENCE_MS }).then(
    () => undefined,
    (error: Error & { code?: string }) =>
      error.code === 'ENOENT' ? 'strace is not installed' : `strace cannot trace here: ${error.message}`,
  );
}

/** `wal` is a disk of its own for the write-ahead log, as etcd advises: the database goes on, and reads of it too. */
export type Disk = 'wal' | 'all';

/**
 * Lets each sync of the member take so long.
 *
 * @returns a function that lifts the fault; the sync that hangs goes on at once. Should we die, strace ends with the
 *   member, which never outlives us.
 * @throws {Error} where strace cannot attach.
 */
export async function hangDisk(
  member: EtcdMember,
  syncTakesMs: number,
  disk: Disk = 'all',
): Promise<() => Promise<void>> {
  const wal = join(member.dataDir, 'member', 'wal');
  const only = disk === 'all' ? [] : (await readdir(wal)).flatMap((file) => ['-P', join(wal, file)]);
  const inject = `inject=${SYNCS}:delay_enter=${syncTakesMs * 1000}`;
  const options = ['-f', '-p', String(member.pid), ...only, '-e', `trace=${SYNCS}`, '-e', inject];
  const strace = spawn('strace', options, { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(strace, 'close');
  await new Promise<void>((resolve, reject) => {
    let told = '';
    strace.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (told.length < 4_096) told += text;
      if (/ attached/.test(told)) resolve();
    });
    strace.on('error', reject);
    void ended.then(() => reject(new Error(`strace ended: ${told}`)));
  });
  return async () => {
    strace.kill('SIGTERM'); // it lets go of the member first
    await ended;
  };
}
