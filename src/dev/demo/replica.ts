/** One replica of a small sync service. The demo starts three of these processes, and controls them over IPC. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import { Election, ElectionError, type Logger, type Term } from '../../index.ts';
import { nowMs } from './history.ts';
import type { FromReplica, ReplicaOptions, ToReplica } from './replica-process.ts';

const ACT_EVERY_MS = 20;
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

/** Records that we lead. The clock is read first: if we lead now, we led at that earlier time too. */
function stamp(term: Term): void {
  const atMs = nowMs();
  if (term.isCurrent()) tell({ type: 'act', fencingToken: term.fencingToken.toString(), atMs });
}

/** The work of the service: one fenced write after another while we lead. */
async function syncEverything(term: Term): Promise<void> {
  for (let round = 1; term.isCurrent(); round++) {
    const progress = client.put(`${prefix}progress`).value(`${name}: ${round}`).lease(term.leaseId);
    await term
      .txn()
      .then(progress)
      .commit()
      .catch((error: unknown) => {
        // An ElectionError means that etcd is unavailable (the loop tries again), or that the term has ended.
        if (!(error instanceof ElectionError)) throw error;
      });
    await sleep(SYNC_EVERY_MS, undefined, { signal: term.signal }).catch(() => {});
  }
}

process.on('message', (message: ToReplica) => {
  if (message === 'resign') void resign();
  else void leave();
});
process.once('disconnect', () => process.exit()); // the demo has ended

/** Resigns, then enters the queue again at its end. */
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
