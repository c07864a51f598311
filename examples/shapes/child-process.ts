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
  const exited = once(child, 'exit'); // also handles 'error', for a command that cannot start
  term.onEnd(async () => {
    child.kill('SIGTERM');
    // Shorter than marginMs (see below), and shorter than drainTimeoutMs, which limits close().
    await Promise.race([exited, sleep(3_000, undefined, { ref: false })]);
    child.kill('SIGKILL');
  });
  await exited;
  if (term.isCurrent()) throw new Error('the child ended by itself'); // steps down, and another replica tries
}

// After `deadline-passed` the next replica may lead once the margin is over. The default margin is 1 s at a TTL of 10 s.
const election = new Election(client, electionName, { onLeader: runChild, marginMs: 4_000 });
void election.campaign();

onStop(async () => {
  await election.close();
  client.close();
  console.log('closed');
});
// #endregion child
