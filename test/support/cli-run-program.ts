/** `etcd-election run` as a process. */
import { readFileSync } from 'node:fs';
import { onTestFinished } from 'vitest';
import { etcdElection, START_MS } from './cli-program.ts';
import { eventually } from './eventually.ts';
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

/** The child with the guardian's process title. A new one first has Node's usual title. */
export const guardianOf = (program: Program, not?: number): Promise<number> =>
  eventually(
    () => {
      const children = readFileSync(`/proc/${program.pid}/task/${program.pid}/children`, 'utf8');
      const found = children
        .trim()
        .split(' ')
        .map(Number)
        .find((pid) => pid !== not && isAlive(pid) && commandLine(pid).startsWith('etcd-election guardian'));
      if (found === undefined) throw new Error('no guardian');
      return found;
    },
    { withinMs: START_MS },
  );

const commandLine = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
};

export const FOR_EVER = 'echo "pid $$"; while :; do sleep 0.1; done';
/** Ends in good order after SIGTERM, with a short delay. */
export const TIDY = `trap 'sleep 0.3; echo tidy; exit 0' TERM; ${FOR_EVER}`;
export const STUBBORN = `trap 'echo "will not"' TERM INT; ${FOR_EVER}`;
