import { setTimeout as sleep } from 'node:timers/promises';
import { Election, type Candidate, type Term } from 'etcd-election';
import { describe, expect } from 'vitest';
import { Deferred } from '../../src/util/deferred.ts';
import { block } from '../support/block.ts';
import { eventually, within } from '../support/eventually.ts';
import { abortOf, SHORT_TTL_SECONDS, SOON_MS, test } from '../support/world.ts';

describe('an un-awaited refusal', () => {
  test('is logged once as an error, and health() reports it', async ({ client, election, log }) => {
    const one = election(client(), 'e');
    void one.campaign(8080 as never);
    void one.campaign(8080 as never);
    expect(log.of('campaign.refused')).toMatchObject([{ level: 50 }]);
    expect(one.health()).toMatchObject({ healthy: true, standing: false });
    expect(one.health().reason).toMatch(/^not standing: .*expected a string/);
    await one.campaign('8080');
    expect(one.health().reason).toBeUndefined();
  });

  test('also concerns a second module that campaigns with the same client', async ({
    client,
    election,
    log,
  }) => {
    const own = client();
    const [first, second] = [election(own, 'e'), election(own, 'e')];
    await first.campaign();
    void second.campaign();
    void second.lead(7 as never);
    expect(log.of('campaign.refused')).toHaveLength(2);
    expect(second.health().reason).toContain('not standing');
    expect(first.health().reason).toBeUndefined();
  });

  test('by etcd is an error, and unhealthy, because the campaign has ended', async ({
    client,
    election,
    log,
  }) => {
    const gone = client();
    gone.close();
    const one = election(gone, 'e');
    void one.campaign();
    await eventually(() => log.of('campaign.ended').length === 1, { withinMs: SOON_MS });
    expect(log.of('campaign.ended')).toMatchObject([{ reason: 'refused', level: 50 }]);
    await eventually(() => expect(one.health().healthy).toBe(false), { withinMs: SOON_MS });
    expect(one.health().reason).toMatch(/^not standing: the Etcd3 client of election "e" was closed/);
  });

  test('does not occur at an orderly end', async ({ candidate, log }) => {
    const alice = candidate('alice');
    await alice.campaign();
    await alice.election.close();
    void alice.campaign();
    await sleep(1);
    expect(log.of('campaign.ended')).toMatchObject([{ level: 30 }]);
    expect(log.of('campaign.refused')).toEqual([]);
    expect(alice.election.health().healthy).toBe(true);
  });
});

describe('health().working', () => {
  test('includes the work, registrations and clean-ups', async ({ client, election }) => {
    const go = new Deferred<void>();
    const one = election(client(), 'e', { onLeader: () => go.promise });
    const term = await one.campaign();
    expect(one.health().working).toBe(true);
    go.resolve();
    await eventually(() => !one.health().working, { withinMs: SOON_MS });
    term.onEnd(() => undefined);
    expect(one.health()).toMatchObject({ working: true, healthy: true });
    await one.resign();
    expect(one.health().working).toBe(false);
  });
});

describe('a callback that never settles', () => {
  const never = new Promise<never>(() => undefined);

  test('onFollower: an error names it, and health() reports it, before the next term', async ({
    candidate,
    log,
  }) => {
    await candidate('alice').campaign();
    const bob = candidate('bob', { drainTimeoutMs: 100, onFollower: () => never });
    void bob.campaign();
    await eventually(() => log.of('follower.overdue').length === 1, { withinMs: SOON_MS });
    expect(bob.election.health()).toMatchObject({ healthy: false });
    expect(bob.election.health().reason).toContain('onFollower');
    await within(SOON_MS, 'close()', bob.election.close());
  });

  test('onLeader: unhealthy, also after close()', async ({ candidate }) => {
    const alice = candidate('alice', { drainTimeoutMs: 50, onLeader: () => never });
    await alice.campaign();
    await alice.election.close();
    await eventually(() => !alice.election.health().healthy, { withinMs: SOON_MS });
  });

  test('onLeader: a new Election of the same name waits, is unhealthy, and its log says so once', async ({
    client,
    election,
    log,
  }) => {
    const shared = client();
    const release = new Deferred<void>();
    const work = { drainTimeoutMs: 50, onLeader: () => release.promise };
    const first = election(shared, 'e', work);
    await first.campaign();
    await first.close();
    const second = election(shared, 'e', work);
    const elected = second.campaign();
    await eventually(() => log.of('usage.unusual').length === 1, { withinMs: SOON_MS });
    expect(log.of('usage.unusual')).toMatchObject([{ usage: 'earlier-work', level: 40 }]);
    expect(second.health()).toMatchObject({ healthy: false, standing: true });
    release.resolve();
    await elected;
    expect(second.health().healthy).toBe(true);
  });

  test('lead() after lead(): unhealthy while the first work still runs', async ({ client, election }) => {
    const one = election(client(), 'e', { drainTimeoutMs: 50 });
    const release = new Deferred<void>();
    const begun = new Deferred<void>();
    const first = one.lead(() => {
      begun.resolve();
      return release.promise;
    });
    await begun.promise;
    await one.resign();
    const second = one.lead(async () => 'done');
    await eventually(() => !one.health().healthy, { withinMs: SOON_MS });
    release.resolve();
    await first;
    expect(await second).toBe('done');
    expect(one.health().healthy).toBe(true);
  });
});

test('a long wait in campaign() is logged once, with the leader', async ({ candidate, log }) => {
  await candidate('alice').campaign();
  const bob = candidate('bob');
  void bob.campaign();
  await eventually(() => log.of('candidate.waiting').length === 1, { withinMs: 5_000 + SOON_MS });
  expect(log.of('candidate.waiting')[0]!.msg).toContain('behind "alice"');
});

test('a term that is kept for ever causes one warning when a newer one starts', async ({
  client,
  election,
  log,
}) => {
  const one = election(client(), 'e');
  const first = await one.campaign();
  await one.stepDown();
  expect(first.isCurrent()).toBe(false);
  expect(log.of('term.stale')).toEqual([]);
  await eventually(() => one.isCurrent(), { withinMs: SOON_MS });
  for (let look = 0; look < 3; look++) expect(first.isCurrent()).toBe(false);
  expect(log.of('term.stale')).toHaveLength(1);
  expect(log.of('term.stale')[0]!.msg).toContain('election.isCurrent()');
});

describe('S2: a process that blocks its event loop past the deadline', () => {
  test('shows no leader, and says why it lost the lease', async ({ client, election, log }) => {
    const options = { ttlSeconds: SHORT_TTL_SECONDS };
    const [one, other] = [election(client(), 'e', options), election(client(), 'e', options)];
    const term = await one.campaign();
    void other.campaign();
    await sleep(50);
    const cpuMs = block(SHORT_TTL_SECONDS * 1_000 + 1_200);
    expect(term.signal.aborted).toBe(false); // its timer has not fired yet
    expect(one.isCurrent()).toBe(false);
    expect(one.currentTerm).toBeUndefined();
    expect(one.status).toMatchObject({ state: 'leaving', term: undefined, leader: undefined });
    await within(SOON_MS, 'the end of the term', abortOf(term.signal));
    // How much of the CPU the loop got is up to the machine. The words follow from this figure (unit/events).
    expect(log.of('process.stalled')[0]!['cpuMs']).toBeGreaterThanOrEqual(Math.floor(cpuMs));
  });
});

describe('election.isCurrent() and currentTerm', () => {
  test('follow the present term', async ({ client, election }) => {
    const one = election(client(), 'e');
    expect([one.isCurrent(), one.currentTerm]).toEqual([false, undefined]);
    const first = await one.campaign();
    expect(one.currentTerm).toBe(first);
    await one.stepDown();
    await eventually(() => one.isCurrent(), { withinMs: SOON_MS });
    expect(one.currentTerm!.fencingToken).toBeGreaterThan(first.fencingToken);
    await one.close();
    expect([one.isCurrent(), one.currentTerm]).toEqual([false, undefined]);
  });
});

test('isMe distinguishes our own candidate from others with the same value', async ({ client, election }) => {
  const seen: Candidate[] = [];
  const see = (leader: Candidate | undefined): void => void (leader && seen.push(leader));
  const a = election(client(), 'e');
  const b = election(client(), 'e', { onFollower: see, onLeaderChange: see });
  await a.campaign('10.0.0.7');
  void b.campaign('10.0.0.7');
  await eventually(async () => (await b.candidates()).length === 2, { withinMs: SOON_MS });
  expect((await a.candidates()).map(({ isMe }) => isMe)).toEqual([true, false]);
  expect((await b.candidates()).map(({ isMe }) => isMe)).toEqual([false, true]);
  expect([(await a.leader())!.isMe, (await b.leader())!.isMe]).toEqual([true, false]);
  expect([a.status.leader!.isMe, b.status.leader!.isMe]).toEqual([true, false]);
  for await (const leader of b.observe()) {
    expect(leader!.isMe).toBe(false);
    break;
  }
  expect(seen.every(({ isMe }) => !isMe)).toBe(true);
  expect(JSON.parse(JSON.stringify(await a.leader()))).toMatchObject({ isMe: true });
});

test('two processes have different values by default', async ({ client, election }) => {
  const term = await election(client(), 'e').campaign();
  expect(term.value).toMatch(new RegExp(`:${process.pid}$`));
});

describe('lead({ ifFree: true })', () => {
  const job = (runs: string[], who: string) => async (term: Term) => {
    runs.push(who);
    await Promise.resolve(term.election);
    return who;
  };

  test('three replicas at once: one runs the job, the others skip', async ({ client, election }) => {
    const runs: string[] = [];
    const results: (string | undefined)[] = [];
    const othersSkipped = new AbortController();
    const { signal } = othersSkipped;
    await Promise.all(
      ['a', 'b', 'c'].map(async (who) => {
        const one = election(client(), 'report');
        results.push(await one.lead(job(runs, who), { ifFree: true, atLeastMs: 60_000, signal }));
        if (results.length === 2) othersSkipped.abort();
      }),
    );
    expect(runs).toHaveLength(1);
    expect(results).toEqual([undefined, undefined, ...runs]);
  });

  test('a late one skips while another leads, and runs after that', async ({ client, election }) => {
    const runs: string[] = [];
    const [a, b] = [election(client(), 'report'), election(client(), 'report')];
    const stop = new AbortController();
    const first = a.lead(job(runs, 'a'), { ifFree: true, atLeastMs: 60_000, signal: stop.signal });
    await eventually(() => runs.length === 1, { withinMs: SOON_MS });
    expect(await b.lead(job(runs, 'b'), { ifFree: true })).toBeUndefined();
    stop.abort();
    expect(await first).toBe('a');
    expect(await b.lead(job(runs, 'b'), { ifFree: true, atLeastMs: 0 })).toBe('b');
    expect(runs).toEqual(['a', 'b']);
  });

  test('one that skips logs the leader, and no resignation', async ({ client, election, log }) => {
    const [a, b] = [election(client(), 'report'), election(client(), 'report')];
    const term = await a.campaign('alice');
    expect(await b.lead(async () => 1, { ifFree: true })).toBeUndefined();
    expect(log.of('campaign.ended')).toMatchObject([
      {
        reason: 'skipped',
        leader: 'alice',
        msg: expect.stringMatching(/skipped the work.*"alice" is ahead of us/) as string,
      },
    ]);
    expect(term.isCurrent()).toBe(true);
  });

  test('close() and the signal do not wait for the rest of the time', async ({ client, election }) => {
    const stop = new AbortController();
    for (const end of [(one: Election) => void one.close(), () => stop.abort()]) {
      const runs: string[] = [];
      const one = election(client(), 'report');
      const leading = one.lead(job(runs, 'a'), { ifFree: true, atLeastMs: 60_000, signal: stop.signal });
      await eventually(() => runs.length === 1, { withinMs: SOON_MS });
      end(one);
      expect(await within(SOON_MS, 'the end', leading)).toBe('a');
    }
  });

  test('rejects at once with the error of the job; a bad option is refused', async ({ client, election }) => {
    const one = election(client(), 'report');
    const failing = one.lead(() => Promise.reject(new Error('no paper')), {
      ifFree: true,
      atLeastMs: 60_000,
    });
    await expect(within(SOON_MS, 'the failure', failing)).rejects.toThrow('no paper');
    await expect(one.lead(async () => 1, { ifFree: true, atLeastMs: -1 })).rejects.toThrow('atLeastMs');
    await expect(one.lead(async () => 1, { ifFree: 'yes' as never })).rejects.toThrow('ifFree');
  });
});
