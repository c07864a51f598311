/** Users and roles of a lab. Each candidate has its own user, whose role has the least permissions. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { etcdctlPath, type EtcdCluster } from 'etcd-election/dev';

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

export const ROOT: Credentials = { username: 'root', password: 'root-secret' };

export const userOf = (candidate: string): Credentials => ({
  username: candidate,
  password: `${candidate}-secret`,
});

/** Every candidate has this role, and a gap in permissions removes it. */
export const ROLE = 'candidate';

const LIMIT_MS = 10_000;

/** Creates the users, then enables authentication. */
export async function setUpAuth(
  cluster: EtcdCluster,
  candidates: readonly string[],
  prefixes: readonly string[],
): Promise<void> {
  const etcdctl = await etcdctlPath();
  const admin = (...args: readonly string[]): Promise<unknown> =>
    promisify(execFile)(etcdctl, ['--endpoints', cluster.endpoints[0]!, ...args], {
      env: { ...process.env, ETCDCTL_API: '3' },
      timeout: LIMIT_MS,
    });
  await admin('role', 'add', ROLE);
  for (const prefix of prefixes)
    await admin('role', 'grant-permission', '--prefix=true', ROLE, 'readwrite', prefix);
  for (const { username, password } of [ROOT, ...candidates.map(userOf)])
    await admin('user', 'add', `${username}:${password}`);
  await admin('user', 'grant-role', ROOT.username, 'root');
  for (const candidate of candidates) await admin('user', 'grant-role', candidate, ROLE);
  await admin('auth', 'enable');
}
