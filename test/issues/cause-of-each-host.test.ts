// `session.unavailable` named only the cause of the host that was asked last. With one host refused and two silent, the
// reader could not see that the hosts fail for different reasons.
import { startProxy } from 'etcd-election/dev';
import { expect } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { SOON_MS, test } from '../support/world.ts';

interface Told {
  readonly msg: string;
  readonly causes?: readonly { readonly host: string; readonly reason: string }[];
}

test('the line session.unavailable has the cause of each host', async ({ candidate, etcd, log }) => {
  const target = etcd.endpoints[0]!;
  await using refused = await startProxy({ target });
  await using second = await startProxy({ target });
  await using third = await startProxy({ target });
  refused.cut();
  for (const silent of [second, third]) silent.stall();
  const hosts = [refused, second, third].map(({ endpoint }) => endpoint);
  void candidate('alice', { hosts }).campaign();

  // The first line may come before every host has failed. The next one comes five seconds later.
  await eventually(
    () => {
      const { msg, causes } = log.of('session.unavailable').at(-1) as unknown as Told;
      expect(causes!.map(({ host }) => host)).toEqual(hosts);
      expect(causes![0]!.reason).toMatch(/ECONNREFUSED/);
      for (const { reason } of causes!.slice(1)) expect(reason).toBe('no answer');
      expect(msg).toContain(`${hosts[0]}: ${causes![0]!.reason}; ${hosts[1]}, ${hosts[2]}: no answer)`);
    },
    { withinMs: 5_000 + 2 * SOON_MS },
  );
});

test('with a single host, the line has no causes beside its reason', async ({ candidate, etcd, log }) => {
  await using refused = await startProxy({ target: etcd.endpoints[0]! });
  refused.cut();
  void candidate('alice', { hosts: refused.endpoint }).campaign();
  await eventually(() => expect(log.of('session.unavailable')).not.toEqual([]), { withinMs: SOON_MS });
  const [{ msg, causes }] = log.of('session.unavailable') as unknown as [Told];
  expect(causes).toBeUndefined();
  expect(msg).not.toContain('(');
});
