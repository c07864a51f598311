/**
 * One replica of a small sync service, as a process of its own. The demo starts three of them, and tells them what to do
 * over the IPC channel.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import { Election, ElectionError, type Logger, type Term } from '../../index.ts';
import { nowMs } from './history.ts';
import type { FromReplica, ReplicaOptions, ToReplica } from './replica-process.ts';

/** How often the leader stamps that it acts. */
const ACT_EVERY_MS = 20;
/** How often the leader syncs. */
const SYNC_EVERY_MS = 200;

const { name, endpoints, prefix, ttlSeconds } = JSON.parse(process.argv[2] ?? '') as ReplicaOptions;

const tell = (message: FromReplica): void => {
  if (process.connected) process.send?.(message);
};

/** The library's log lines, for `--verbose`. */
const line = (_fields: object, message: string): void => tell({ type: 'log', line: message });
const logger: Logger = { trace: () => {}, debug: () => {}, info: line, warn: line, error: line };

const client = new Etcd3({ hosts: endpoints });
const election = new Election(client, 'sync-service', {
  ttlSeconds,
  prefix,
  logger,
  onLeader: async (term) => {
    stamp(term);
    const stamping = setInterval(() => stamp(term), ACT_EVERY_MS);
    await syncEverything(term).finally(() => clearInterval(stamping));
  },
});

/** Says that we lead at this moment. The clock is read first: what is true after it was true at that time. */
function stamp(term: Term): void {
  const atMs = nowMs();
  if (term.isCurrent()) tell({ type: 'act', fencingToken: term.fencingToken.toString(), atMs });
}

/** The service's work: one fenced write after the other, as long as we lead. */
async function syncEverything(term: Term): Promise<void> {
  for (let round = 1; term.isCurrent(); round++) {
    const progress = client.put(`${prefix}progress`).value(`${name}: ${round}`).lease(term.leaseId);
    await term
      .txn()
      .then(progress)
      .commit()
      .catch((error: unknown) => {
        if (!(error instanceof ElectionError)) throw error; // etcd is away: the next round tries again
      });
    await sleep(SYNC_EVERY_MS, undefined, { signal: term.signal }).catch(() => {});
  }
}

process.on('message', (message: ToReplica) => {
  if (message === 'resign') void resign();
  else void leave();
});
process.once('disconnect', () => process.exit()); // the demo is gone, in whatever way

/** Hands over, and stands again at the back of the queue. */
async function resign(): Promise<void> {
  const { term } = election.status;
  if (term !== undefined) stamp(term);
  await election.resign();
  void election.campaign(name);
}

async function leave(): Promise<void> {
  await election.close();
  client.close();
  process.disconnect();
}

void election.campaign(name);
