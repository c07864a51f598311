/**
 * As process 1 of a container we inherit every orphan there is, and somebody has to bury it; Node waits only for
 * children of its own. So process 1 becomes a shell, which waits for all, passes signals on, and ends with our code.
 */

/** Node 22.15 and later. */
type Execve = (file: string, args: readonly string[], env: NodeJS.ProcessEnv) => never;

/** `wait` comes back early for a signal (status above 128), while the child still lives: then wait again. */
const SHELL_AS_INIT = [
  '"$@" <&0 & child=$!',
  'for name in HUP INT QUIT TERM USR1 USR2 WINCH; do trap "kill -$name $child 2>/dev/null" "$name"; done',
  'while :; do wait "$child"; code=$?; kill -0 "$child" 2>/dev/null || break; done',
  'exit "$code"',
].join('\n');

/** Does nothing unless we are process 1. */
export function becomeInit(): void {
  if (process.pid !== 1) return;
  const execve = (process as { execve?: Execve }).execve;
  if (execve === undefined) {
    process.stderr.write(
      'etcd-election: as process 1 on this version of Node, orphaned processes are not reaped: ' +
        'use docker run --init, or Node 22.15 or later\n',
    );
    return;
  }
  const self = [process.execPath, ...process.execArgv, process.argv[1]!, ...process.argv.slice(2)];
  execve.call(process, '/bin/sh', ['sh', '-c', SHELL_AS_INIT, 'sh', ...self], process.env);
}
