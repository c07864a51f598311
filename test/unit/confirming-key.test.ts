// Which election's key confirms the renewals of a shared lease.
import { expect, test, vi } from 'vitest';
import { ReconnectBackoff } from '../../src/client/reconnect-backoff.ts';
import { SessionPool } from '../../src/client/session-pool.ts';
import { History } from '../../src/etcd/history.ts';
import type { EtcdTransport } from '../../src/etcd/transport.ts';
import type { EventLog } from '../../src/logging/event-log.ts';
import { SharedLog } from '../../src/logging/shared-log.ts';
import { holderOf } from '../support/lease-holder.ts';

test('L3: no key of an election that etcd refuses confirms a renewal, so the others keep their lease', async () => {
  const header = { revision: '1', raft_term: '1' };
  const asked: string[] = [];
  const range = ({ key }: { key: Buffer }) => {
    asked.push(key.toString().replace(/[^/]+$/, ''));
    return { kvs: [], header };
  };
  let answer = (_renewed: object): void => undefined;
  const raw = {
    on: (_event: string, listener: typeof answer) => void (answer = listener),
    write: ({ ID }: { ID: string }) => setImmediate(() => answer({ ID, TTL: '10', header })),
  };
  const end = (): void => undefined;
  const transport = {
    endpoints: ['host'],
    history: new History(),
    isProxied: false,
    isClosed: false,
    unary: (what: string, invoke: (client: object) => unknown) => {
      if (what === 'grant a lease') return Promise.resolve({ TTL: '1', header });
      return Promise.resolve(what === 'confirm the renewal' ? invoke({ kv: { range } }) : {});
    },
    stream: () => Promise.resolve({ raw, onLost: end, renewed: end, close: end, fail: end, leave: end }),
    onClusterChanged: () => end,
    onClientClosed: () => end,
  } as unknown as EtcdTransport;
  const eventLog = { report: () => undefined } as unknown as EventLog;

  for (const refused of [
    ['a', 'b'],
    ['a', 'b', 'c'],
  ]) {
    const pool = new SessionPool(
      { transport, backoff: new ReconnectBackoff({}), log: new SharedLog(), lastWill: {} as never },
      10,
    );
    const holders = ['a', 'b', 'c'].map((name) => holderOf(name, refused.includes(name)));
    for (const holder of holders) pool.join(holder, undefined, eventLog, false);
    await pool.acquire(new AbortController().signal);
    const before = asked.length;
    await vi.waitUntil(() => asked.length > before, 5_000); // the first renewal
    for (const holder of holders) await pool.leave(holder);
  }
  expect(asked, 'if etcd refuses all, any key will do').toEqual(['election/c/', 'election/a/']);
});
