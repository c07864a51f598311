import { expect, onTestFinished, test } from 'vitest';
import { ReconnectBackoff } from '../../src/client/reconnect-backoff.ts';
import { SessionPool } from '../../src/client/session-pool.ts';
import type { LastWill } from '../../src/last-will/index.ts';
import type { EventLog } from '../../src/logging/event-log.ts';
import { SharedLog } from '../../src/logging/shared-log.ts';
import { grantingEtcd } from '../support/granting-etcd.ts';
import { holderOf } from '../support/lease-holder.ts';

const end = (): void => undefined;

test('the loss of the last will is logged by an active election, even one with another TTL', async () => {
  let tellLost = (_reason: string): void => undefined;
  const lastWill = {
    hold: (_leaseId: string, _clusterId: unknown, onLost: typeof tellLost) => void (tellLost = onLost),
    drop: end,
    dropLater: end,
    ended: end,
  } as unknown as LastWill;
  const client = {
    transport: grantingEtcd(),
    backoff: new ReconnectBackoff({}),
    log: new SharedLog(),
    lastWill,
  };
  const logged: string[] = [];
  const logOf = (name: string): EventLog =>
    ({ report: ({ type }: { type: string }) => void logged.push(`${name}: ${type}`) }) as unknown as EventLog;
  const open = async (ttlSeconds: number, name: string): Promise<() => Promise<void>> => {
    const pool = new SessionPool(client, ttlSeconds);
    const holder = holderOf(name);
    pool.join(holder, undefined, logOf(name), true);
    await pool.acquire(new AbortController().signal);
    return () => pool.leave(holder);
  };
  onTestFinished(await open(5, 'active'));
  const close = await open(10, 'closed');
  await close();
  logged.length = 0;
  tellLost('it ended (SIGKILL)');
  expect(logged).toEqual(['active: last-will.lost']);
});
