/**
 * A disk that hangs: a member's `fdatasync` and `fsync` take seconds, while all its other code runs. strace
 * (Debian's package `strace`) injects the delay; as root it may attach to our process. This differs from a
 * freeze. A frozen member answers nothing. A member with a hanging disk keeps its connections and answers all
 * that needs no disk. Only its raft loop is stuck, so it does not learn of a new etcd leader.
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

/** @returns why disks cannot hang on this machine; undefined if they can. */
export function whyNoDiskHangs(): Promise<string | undefined> {
  return (possible ??= tryStrace());
}

/** Traces a very short process, to see whether this machine permits it. */
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

/**
 * `wal` delays only the write-ahead log, as if it had its own disk, as etcd advises. The database and its reads
 * continue.
 */
export type Disk = 'wal' | 'all';

/**
 * Delays each sync of the member.
 * @returns a function that removes the fault; the hanging sync continues at once. If we die, strace ends with
 * the member, which never outlives us.
 * @throws {Error} if strace cannot attach.
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
    strace.kill('SIGTERM'); // it detaches from the member first
    await ended;
  };
}
