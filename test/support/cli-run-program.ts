/** `etcd-election run` as a process. */
import { onTestFinished } from 'vitest';
import { etcdElection, START_MS } from './cli-program.ts';
import { isAlive, type Program } from './programs.ts';
import { TTL_SECONDS } from './world.ts';

interface Run {
  readonly endpoints: readonly string[];
  readonly prefix: string;
  readonly flags?: readonly string[];
}

/** A shell script as the command. It prints `pid N` after it has set its traps. */
export function run({ endpoints, prefix, flags = [] }: Run, script: string): Program {
  const settings = ['--prefix', prefix, '--ttl', String(TTL_SECONDS), '--value', 'cli'];
  return etcdElection(['run', 'e', ...settings, ...flags, '--', 'sh', '-c', script], {
    ETCDCTL_ENDPOINTS: endpoints.join(),
  });
}

/** Process ID of the command, once it is ready. The command never outlives the test. */
export async function pidOf(program: Program): Promise<number> {
  const pid = Number((await program.says(/pid (\d+)/, START_MS))[1]);
  onTestFinished(() => {
    if (isAlive(pid)) process.kill(-pid, 'SIGKILL');
  });
  return pid;
}

export const FOR_EVER = 'echo "pid $$"; while :; do sleep 0.1; done';
/** Ends in good order after SIGTERM, with a short delay. */
export const TIDY = `trap 'sleep 0.3; echo tidy; exit 0' TERM; ${FOR_EVER}`;
export const STUBBORN = `trap 'echo "will not"' TERM INT; ${FOR_EVER}`;
