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
  const exited = once(child, 'exit'); // rejects on 'error', if the command cannot start
  term.onEnd(async () => {
    child.kill('SIGTERM');
    // The wait must be shorter than marginMs (see below), and shorter than drainTimeoutMs, which limits close().
    await Promise.race([exited, sleep(3_000, undefined, { ref: false })]);
    child.kill('SIGKILL');
  });
  await exited;
  if (term.isCurrent()) throw new Error('the child ended by itself'); // this replica steps down, and another one tries
}

// If the term ends as `deadline-passed`, the next replica may lead marginMs later. The default is 1 s at a TTL of 10 s.
const election = new Election(client, electionName, { onLeader: runChild, marginMs: 4_000 });
void election.campaign();

onStop(async () => {
  await election.close();
  client.close();
  console.log('closed');
});
// #endregion child
