/**
 * The helper process of the last will. It waits for the end of a pipe that only the main process holds. The kernel closes
 * the pipe when the main process has ended, for whatever reason. The pipe stays open while the main process is blocked,
 * stopped or debugged.
 *
 * The helper runs from text (see helper-source.ts), which includes everything imported here.
 */
import type { Reach, ToHelper } from './messages.ts';
import { revoke } from './revoke.ts';

/** @param ready gets a line as soon as the helper reads its pipe. */
export function runHelper(pipe: NodeJS.ReadableStream, ready: NodeJS.WritableStream, end: () => void): void {
  process.title = 'etcd-election last will';
  // The helper must survive a signal to every process of the service. SIGUSR1 would open an inspector.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const)
    process.on(signal, () => undefined);

  let reach: Reach | undefined;
  const held = new Map<string, string | undefined>();
  let unread = '';
  let over = false;
  const receive = (message: ToHelper): void => {
    if (message.type === 'reach') reach = message.reach;
    else if (message.type === 'hold') held.set(message.leaseId, message.clusterId);
    else held.delete(message.leaseId);
  };
  const gone = (): void => {
    if (over) return;
    over = true;
    if (reach === undefined || held.size === 0) end();
    else void revoke(reach, held).then(end, end);
  };

  pipe.setEncoding('utf8');
  pipe.on('data', (text: string) => {
    const lines = (unread + text).split('\n');
    unread = lines.pop() ?? ''; // an incomplete line: the rest may follow
    for (const line of lines) receive(JSON.parse(line) as ToHelper);
  });
  pipe.on('end', gone);
  pipe.on('close', gone);
  pipe.on('error', gone);
  ready.on('error', () => undefined); // the main process may be dead already
  ready.write('ready\n');
}
