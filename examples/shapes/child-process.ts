/** A child process that lives as long as the term. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Election, type Term } from 'etcd-election';
import { connect, electionName, onStop } from './connect.ts';

const client = connect();
const command = `process.on('SIGTERM', () => setTimeout(() => { console.log('child stopped'); process.exit(); }, 100));
  setInterval(() => {}, 1000); console.log('child works');`;

// #region child
async function runChild(term: Term): Promise<void> {
  const child = spawn(process.execPath, ['-e', command], { stdio: 'inherit' });
  const exited = once(child, 'exit'); // rejects on 'error', which would else end this process
  term.onEnd(async () => {
    child.kill('SIGTERM');
    // Less than drainTimeoutMs: when that is over, another replica leads.
    await Promise.race([exited, sleep(3_000, undefined, { ref: false })]);
    child.kill('SIGKILL');
  });
  await exited;
  if (term.isCurrent()) throw new Error('the child ended by itself'); // steps down, and another replica tries
}

const election = new Election(client, electionName, { onLeader: runChild });
void election.campaign();
// #endregion child

onStop(async () => {
  await election.close();
  client.close();
  console.log('closed');
});
