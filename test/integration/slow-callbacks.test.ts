import { liveElections } from 'etcd-election';
import { describe, expect } from 'vitest';
import { Deferred } from '../../src/util/deferred.ts';
import { abortOf, eventually, within } from '../support/eventually.ts';
import { SOON_MS, test } from '../support/world.ts';

describe('an onFollower that still runs when its replica is elected', () => {
  test('delays the work, and the time without progress counts from the work', async ({ candidate }) => {
    const progressTimeoutMs = 300;
    const followed = new Deferred<void>();
    let works = 0;
    const alice = candidate('alice');
    const bob = candidate('bob', {
      progressTimeoutMs,
      onFollower: () => followed.promise,
      onLeader: async (term) => {
        works++;
        await abortOf(term.signal);
      },
    });
    await alice.campaign();
    void bob.campaign();
    await bob.queued();
    await alice.election.resign();
    const term = await bob.elected();

    const quietUntilMs = performance.now() + 2 * progressTimeoutMs;
    await eventually(() => performance.now() > quietUntilMs, { withinMs: SOON_MS });
    expect(term.isCurrent(), 'the work has not begun').toBe(true);
    expect(bob.election.health().healthy).toBe(true);
    followed.resolve();
    const reason = await within(SOON_MS, 'the end of the term', abortOf(term.signal));
    expect(reason).toMatchObject({ reason: 'no-progress' });
    expect(works).toBe(1);
  });

  test('keeps the term for a second, also if the drain is zero', async ({ candidate, log }) => {
    const followed = new Deferred<void>();
    const begun = new Deferred<void>();
    const alice = candidate('alice');
    const bob = candidate('bob', {
      drainTimeoutMs: 0,
      onFollower: () => followed.promise,
      onLeader: () => begun.resolve(),
    });
    await alice.campaign();
    void bob.campaign();
    await bob.queued();
    await alice.election.resign();
    const term = await bob.elected();
    followed.resolve();
    await within(SOON_MS, 'the work', begun.promise);
    expect(term.isCurrent()).toBe(true);
    expect(log.of('term.ended').map(({ reason }) => reason)).toEqual(['resigned']);
  });
});

describe('work that ignores its signal', () => {
  test('makes the election unhealthy, also while the next lead() waits for it', async ({
    election,
    client,
  }) => {
    const drainTimeoutMs = 200;
    const one = election(client(), 'e', { drainTimeoutMs });
    const stuck = new Deferred<void>();
    const controller = new AbortController();
    const isLeading = new Deferred<void>();
    const first = one.lead(
      async () => {
        isLeading.resolve();
        await stuck.promise;
      },
      { signal: controller.signal },
    );
    await isLeading.promise;
    controller.abort();
    await eventually(() => !liveElections().includes(one), { withinMs: SOON_MS });
    const second = one.lead(async () => 'second').catch((error: unknown) => error);
    await eventually(() => one.status.state === 'leaving' && !one.health().healthy, {
      withinMs: drainTimeoutMs + SOON_MS,
    });
    expect(one.health().reason).toMatch(/the work still runs/);

    stuck.resolve();
    await first.catch(() => undefined);
    expect(await within(SOON_MS, 'the second work', second)).toBe('second');
    expect(one.health().healthy).toBe(true);
  });
});

describe('a client that is closed before its election', () => {
  test('ends the term as lost, not as a deadline that has passed', async ({ candidate }) => {
    const alice = candidate('alice');
    const term = await alice.campaign();
    alice.client.close();
    await alice.election.close();
    expect(term.signal.reason).toMatchObject({ reason: 'lease-lost' });
  });
});
