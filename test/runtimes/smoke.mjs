/**
 * Uses the package as a service does, in any runtime: elects, hands over, writes under the fence, crashes with a
 * last will, closes and leaves nothing behind. Prints one line of JSON, and ends by itself.
 * RUNTIME smoke.mjs ENDPOINTS PREFIX [holder]
 */
import { spawn } from 'node:child_process';
import { Etcd3 } from 'etcd3';
import { Election, LeadershipLostError, liveElections } from 'etcd-election';

const [hosts, prefix, role] = process.argv.slice(2);
const TTL_SECONDS = 10;
const WITHIN_MS = 5_000;
const nothing = () => undefined;
const logger = { trace: nothing, debug: nothing, info: nothing, warn: nothing, error: nothing };

const clients = [];
function replica(name, options = {}) {
  const client = new Etcd3({ hosts: hosts.split(',') });
  clients.push(client);
  return new Election(client, name, { prefix, ttlSeconds: TTL_SECONDS, logger, ...options });
}

async function eventually(check, what) {
  const dueAtMs = performance.now() + WITHIN_MS;
  while (!(await check())) {
    if (performance.now() > dueAtMs) throw new Error(`not within ${WITHIN_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
const queued = (election) => eventually(() => election.status.position !== undefined, 'a place in the queue');

async function elect() {
  const [alice, bob] = [replica('e'), replica('e')];
  const first = await alice.campaign('alice');
  const next = bob.campaign('bob');
  await queued(bob);
  await first.put(`${prefix}written`, 'by alice');

  const atMs = performance.now();
  await alice.close();
  const second = await next;
  const handOverMs = performance.now() - atMs;
  await second.put(`${prefix}written`, 'by bob');
  const refused = await first.put(`${prefix}written`, 'late').catch((error) => error);
  const written = await clients[0].get(`${prefix}written`).string();
  await bob.close();
  return {
    tokensGrow: second.fencingToken > first.fencingToken,
    handOverMs: Math.round(handOverMs),
    lateWriteRefused: refused instanceof LeadershipLostError,
    written,
  };
}

/** Another process of this runtime leads and is killed. */
async function crash() {
  const launch = JSON.parse(process.env.LAUNCH ?? '[]');
  const holder = spawn(process.execPath, [...launch, process.argv[1], hosts, prefix, 'holder'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve, reject) => {
    holder.stdout.once('data', resolve);
    holder.once('exit', (code) => reject(new Error(`the holder ended with ${code}`)));
  });
  const bob = replica('will');
  const next = bob.campaign('bob');
  await queued(bob);
  const atMs = performance.now();
  holder.kill('SIGKILL');
  await next;
  const afterCrashMs = Math.round(performance.now() - atMs);
  await bob.close();
  return { afterCrashMs, ttlMs: TTL_SECONDS * 1000 };
}

if (role === 'holder') {
  await replica('will', { lastWill: true }).campaign('holder');
  await new Promise((resolve) => setTimeout(resolve, 1_000)); // time for its helper to start
  console.log('leading');
  setInterval(() => undefined, 1_000);
} else {
  const said = { ...(await elect()), ...(await crash()) };
  await clients[0].delete().key(`${prefix}written`);
  const keysLeft = await clients[0].getAll().prefix(prefix).count();
  const electionsLeft = liveElections().length;
  for (const client of clients) client.close();
  console.log(JSON.stringify({ ...said, keysLeft, electionsLeft }));
}
