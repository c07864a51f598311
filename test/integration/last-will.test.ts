/**
 * What a last will does when a process dies, and what it must never do while the process lives. Each replica is
 * a process, bundled from source. Its helper is found in /proc.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { startEtcd } from 'etcd-election/dev';
import { describe, expect } from 'vitest';
import { eventually } from '../support/eventually.ts';
import {
  buildChild,
  childrenOf,
  DoomedReplica,
  isRunning,
  procFile,
  statusOf,
} from '../support/last-will-process.ts';
import { startSwitchboard } from '../support/switchboard.ts';
import { test } from '../support/world.ts';
import {
  AT_ONCE_MS,
  lastWillChild,
  planOf,
  timeToLive,
  TTL_SECONDS,
  UNHURRIED,
  untilGone,
} from '../support/last-will-plan.ts';

describe.skipIf(process.platform !== 'linux')('a last will', () => {
  test('is off by default: no helper, and a crash costs the TTL', async ({ etcd, prefix, world }) => {
    const plan = planOf({ hosts: etcd.endpoints }, prefix, { options: { lastWill: false } });
    await using alice = new DoomedReplica(lastWillChild(), plan);
    const { leaseId } = await alice.said('leads');

    expect(childrenOf(alice.pid)).toEqual([]);
    alice.signal('SIGKILL');
    await alice.exited();
    expect(await timeToLive(world.own, leaseId)).toBeGreaterThan(0);
    await world.own.leaseClient.leaseRevoke({ ID: leaseId });
  });

  test('after kill -9 the helper revokes the lease at once, and the next candidate leads', async ({
    etcd,
    prefix,
    world,
    candidate,
  }) => {
    await using alice = new DoomedReplica(lastWillChild(), planOf({ hosts: etcd.endpoints }, prefix));
    const { leaseId, fencingToken } = await alice.said('leads');
    const bob = candidate('bob', { ttlSeconds: TTL_SECONDS });
    void bob.campaign();
    await bob.queued();
    const helper = await alice.helper();

    alice.signal('SIGKILL');

    await untilGone(world.own, leaseId, AT_ONCE_MS);
    const term = await bob.elected(AT_ONCE_MS);
    expect(term.fencingToken).toBeGreaterThan(BigInt(fencingToken));
    await eventually(() => !isRunning(helper), { withinMs: AT_ONCE_MS });
  });

  test.for(['dns:///', 'dns:'])(
    'accepts a host written as %shost:port',
    async (scheme, { etcd, prefix, world }) => {
      const hosts = etcd.endpoints.map((url) => `${scheme}${new URL(url).host}`);
      await using alice = new DoomedReplica(lastWillChild(), planOf({ hosts }, prefix));
      const { leaseId } = await alice.said('leads');
      await alice.helper();
      alice.signal('SIGKILL');
      await untilGone(world.own, leaseId, AT_ONCE_MS);
      expect(alice.all('warned')).toEqual([]);
    },
  );

  test('skips a host of another etcd cluster, and ignores its "lease not found"', async ({
    etcd,
    prefix,
    world,
  }) => {
    await using foreign = await startEtcd();
    const [ours] = etcd.endpoints;
    await using second = await startSwitchboard(ours!);
    const hosts = [foreign.endpoints[0]!, ours!, second.endpoint];
    await using alice = new DoomedReplica(lastWillChild(), planOf({ hosts }, prefix));
    const { leaseId } = await alice.said('leads');
    await alice.helper();

    alice.signal('SIGKILL');

    await untilGone(world.own, leaseId, AT_ONCE_MS);
  });

  test('exists as soon as the process leads, and survives an immediate kill', async ({
    etcd,
    prefix,
    world,
  }) => {
    await using alice = new DoomedReplica(lastWillChild(), planOf({ hosts: etcd.endpoints }, prefix));
    const { leaseId } = await alice.said('leads'); // the helper is still starting

    alice.signal('SIGKILL');

    await untilGone(world.own, leaseId, AT_ONCE_MS);
  });

  test.for([{ minify: false }, { minify: true }])(
    'works from a bundle (minified: $minify), and process.exit() counts as an end',
    async ({ minify }, { etcd, prefix, world }) => {
      const bundle = minify ? await buildChild('test/support/last-will-child.ts', minify) : lastWillChild();
      await using alice = new DoomedReplica(bundle, planOf({ hosts: etcd.endpoints }, prefix));
      const { leaseId } = await alice.said('leads');
      await alice.helper();

      alice.order({ exit: 0 });

      await alice.exited();
      await untilGone(world.own, leaseId, AT_ONCE_MS);
    },
  );

  test('a SIGTERM that kills our whole process group still leaves the helper to revoke', async ({
    etcd,
    prefix,
    world,
  }) => {
    await using alice = new DoomedReplica(lastWillChild(), planOf({ hosts: etcd.endpoints }, prefix));
    const { leaseId } = await alice.said('leads');
    const helper = await alice.helper();

    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1'] as const) process.kill(helper, signal);
    alice.signal('SIGTERM', 'group');

    await alice.exited();
    await untilGone(world.own, leaseId, AT_ONCE_MS);
    await eventually(() => !isRunning(helper), { withinMs: AT_ONCE_MS });
  });

  test('a blocked event loop is not an end', async ({ etcd, prefix, world }) => {
    await using alice = new DoomedReplica(
      lastWillChild(),
      planOf({ hosts: etcd.endpoints }, prefix, UNHURRIED),
    );
    const { leaseId } = await alice.said('leads');
    await alice.helper();

    alice.order({ block: AT_ONCE_MS + 500 });
    await alice.said('blocked');

    expect(await timeToLive(world.own, leaseId)).toBeGreaterThan(0);
    expect(alice.all('leads')).toHaveLength(1);
    expect(alice.all('follows')).toHaveLength(0);
  });

  test.for(['process', 'group'] as const)(
    'a %s that is stopped and continued is not an end',
    async (which, { etcd, prefix, world }) => {
      await using alice = new DoomedReplica(
        lastWillChild(),
        planOf({ hosts: etcd.endpoints }, prefix, UNHURRIED),
      );
      const { leaseId } = await alice.said('leads');
      const helper = await alice.helper();

      alice.signal('SIGSTOP', which);
      if (which === 'group') process.kill(helper, 'SIGSTOP'); // the helper has its own process group
      await sleep(AT_ONCE_MS);
      expect(await timeToLive(world.own, leaseId)).toBeGreaterThan(0);
      alice.signal('SIGCONT', which);
      if (which === 'group') process.kill(helper, 'SIGCONT');
      alice.order({ block: 0 });
      await alice.said('blocked');

      expect(await timeToLive(world.own, leaseId)).toBeGreaterThan(0);
      expect(alice.all('leads')).toHaveLength(1);
      expect(isRunning(helper)).toBe(true);
    },
  );

  test('close() ends the helper', async ({ etcd, prefix, world }) => {
    await using alice = new DoomedReplica(lastWillChild(), planOf({ hosts: etcd.endpoints }, prefix));
    const { leaseId } = await alice.said('leads');
    const helper = await alice.helper();

    alice.order({ close: true });
    await alice.said('closed');

    expect(await timeToLive(world.own, leaseId)).toBe(-1);
    await eventually(() => !isRunning(helper), { withinMs: AT_ONCE_MS });
    expect(childrenOf(alice.pid).filter(isRunning)).toEqual([]);
  });

  test('a killed helper is logged and started again, and the election continues', async ({
    etcd,
    prefix,
    world,
  }) => {
    await using alice = new DoomedReplica(lastWillChild(), planOf({ hosts: etcd.endpoints }, prefix));
    const { leaseId } = await alice.said('leads');
    const first = await alice.helper();

    process.kill(first, 'SIGKILL');
    expect(await alice.said('warned')).toBe('last-will.lost');
    await eventually(() => !isRunning(first), { withinMs: AT_ONCE_MS });
    const second = await alice.helper();
    expect(second).not.toBe(first);
    expect(alice.all('leads')).toHaveLength(1);

    alice.signal('SIGKILL');
    await untilGone(world.own, leaseId, AT_ONCE_MS);
  });

  test('the helper is small and idle', async ({ etcd, prefix }) => {
    await using alice = new DoomedReplica(lastWillChild(), planOf({ hosts: etcd.endpoints }, prefix));
    await alice.said('leads');
    const helper = await alice.helper();
    const ticks = (): number =>
      procFile(helper, 'stat')
        .split(') ')[1]!
        .split(' ')
        .slice(11, 13)
        .map(Number)
        .reduce((a, b) => a + b);
    const renewalMs = (TTL_SECONDS * 1_000) / 3;
    const spent = async (): Promise<number> => {
      const before = ticks();
      await sleep(renewalMs);
      return ticks() - before;
    };
    // 10 ms each. On a busy machine the first periods may still contain the end of its start.
    await eventually(async () => expect(await spent()).toBeLessThanOrEqual(1), { withinMs: 4 * renewalMs });
    expect(Number(/^VmRSS:\s+(\d+) kB/m.exec(statusOf(helper))![1])).toBeLessThan(60_000);
  });
});
