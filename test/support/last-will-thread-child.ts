/** A worker thread holds a lease with a last will, and ends as soon as it has left. The main thread prints the processes that remain. */
import { once } from 'node:events';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import type { Etcd3 } from 'etcd3';
import { ReconnectBackoff } from '../../src/client/reconnect-backoff.ts';
import { SessionPool } from '../../src/client/session-pool.ts';
import { LastWill } from '../../src/last-will/index.ts';
import type { EventLog } from '../../src/logging/event-log.ts';
import { SharedLog } from '../../src/logging/shared-log.ts';
import { eventually } from './eventually.ts';
import { grantingEtcd } from './granting-etcd.ts';
import { childrenOf, statusOf } from './last-will-process.ts';

const end = (): void => undefined;

/** A client without an etcd, which grants and revokes every lease. */
async function holdLease(): Promise<() => Promise<void>> {
  const client = { options: { hosts: '127.0.0.1:1' } } as unknown as Etcd3;
  const lastWill = new LastWill(client);
  const log = new SharedLog();
  const pool = new SessionPool(
    { transport: grantingEtcd(), backoff: new ReconnectBackoff(client), log, lastWill },
    10,
  );
  const holder = {
    keyPrefix: 'election/e/',
    isRefused: () => false,
    mayHaveKey: () => true,
    onOwnKey: end,
    onOwnKeyDenied: end,
  };
  pool.join(holder, undefined, { report: end } as unknown as EventLog, true);
  await pool.acquire(new AbortController().signal);
  return () => pool.leave(holder);
}

if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url));
  const [helpers] = (await once(worker, 'message')) as [number[]];
  const ended = once(worker, 'exit');
  worker.postMessage('leave');
  await ended;
  process.stdout.write(
    JSON.stringify({ helpers: helpers.length, remaining: childrenOf(process.pid).length }),
  );
} else {
  const leave = await holdLease();
  const helpers = await eventually(
    () => {
      const found = childrenOf(process.pid).filter((pid) => statusOf(pid).includes('etcd-election l'));
      if (found.length === 0) throw new Error('no helper is up');
      return found;
    },
    { withinMs: 10_000 },
  );
  parentPort!.once('message', () => void leave());
  parentPort!.postMessage(helpers);
}
