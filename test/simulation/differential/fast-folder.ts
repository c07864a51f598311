import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Folder extends AsyncDisposable {
  readonly path: string;
}

/**
 * In memory if the machine has such a folder. On a disk each write waits for it, and a disk that is busy for a second makes the
 * members elect another leader.
 */
export async function fastFolder(): Promise<Folder> {
  const inMemory = '/dev/shm';
  const path = await mkdtemp(join(existsSync(inMemory) ? inMemory : tmpdir(), 'etcd-election-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
