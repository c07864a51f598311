/** A replica that writes to resource.ts while it leads. It sends its fencing token with each write. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import { Election, type Term } from 'etcd-election';

const url = process.argv[2] ?? 'http://127.0.0.1:8080';
const endpoints = process.env['ETCD_ENDPOINTS'];
if (!endpoints) throw new Error('set ETCD_ENDPOINTS, for example to http://127.0.0.1:2379');
const client = new Etcd3({ hosts: endpoints.split(',') });

async function write(term: Term, content: string): Promise<boolean> {
  const response = await fetch(url, {
    method: 'PUT',
    headers: { 'fencing-token': term.fencingToken.toString() },
    body: content,
    // Do not pass term.signal: SIGTERM would abort a write that the resource may have accepted. Use a limit below drainTimeoutMs.
    signal: AbortSignal.timeout(3_000),
  });
  return response.ok;
}

const election = new Election(client, process.env['ELECTION'] ?? 'writer', {
  ttlSeconds: Number(process.env['TTL_SECONDS'] ?? 10),
  drainTimeoutMs: 5_000,
  onLeader: async (term) => {
    for (let count = 1; term.isCurrent(); count++) {
      const written = await write(term, `${process.pid}: ${count}`).catch(() => false);
      console.log(`${written ? 'wrote' : 'not written'} under token ${term.fencingToken}`);
      await sleep(100, undefined, { signal: term.signal }).catch(() => undefined);
    }
  },
});

const shutDown = (): void => void election.close().then(() => client.close());
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, shutDown);
void election.campaign();
