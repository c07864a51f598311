/**
 * Finds what is left of a process group after SIGKILL. A group that consists only of zombies counts as ended. Its
 * processes are dead, but their parent has not waited for them yet.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** `foreign` means that we may not kill a process of the group, because it runs as another user. */
export type Remainder = 'none' | 'foreign' | 'some';

export function remainderOf(group: number): Remainder {
  const whole = askFor(-group);
  if (whole === 'none') return 'none';
  const members = membersOf(group);
  // The group is there, but none of its processes was found: /proc is missing, or the last process has just ended.
  if (members === undefined || members.length === 0) return whole;
  const living = members.filter(({ isZombie }) => !isZombie).map(({ pid }) => askFor(pid));
  if (living.includes('foreign')) return 'foreign';
  return living.length > 0 ? 'some' : 'none';
}

/** Whether a process (or a group, with a negative ID) is there, zombies included. */
export function askFor(pid: number): Remainder {
  try {
    process.kill(pid, 0);
    return 'some';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' ? 'foreign' : 'none';
  }
}

interface Member {
  readonly pid: number;
  readonly isZombie: boolean;
}

/** @returns undefined if /proc is missing, or hides processes of other users (`hidepid`). */
function membersOf(group: number): Member[] | undefined {
  try {
    readFileSync('/proc/1/stat');
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
    return pids.flatMap((pid) => memberOf(group, Number(pid)) ?? []);
  } catch {
    return undefined;
  }
}

function memberOf(group: number, pid: number): Member | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [, state, itsGroup] = /^\d+ \(.*\) (\S) \d+ (\d+)/s.exec(stat)!;
    if (Number(itsGroup) !== group) return undefined;
    // If only the main thread has ended, the process looks like a zombie, but has more threads.
    return { pid, isZombie: state === 'Z' && readdirSync(`/proc/${pid}/task`).length === 1 };
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined; // it has ended
    throw error;
  }
}
