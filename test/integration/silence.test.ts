import { setTimeout as sleep } from 'node:timers/promises';
import { Election, type Candidate, type Term } from 'etcd-election';
import { describe, expect } from 'vitest';
import { Deferred } from '../../src/util/deferred.ts';
import { eventually, within } from '../support/eventually.ts';
import { abortOf, SHORT_TTL_SECONDS, SOON_MS, test } from '../support/world.ts';

/** Keeps this thread busy: no timer fires meanwhile. */
function block(ms: number): void {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs);
}

describe('a refusal that nobody awaits', () => {
  test('is an error in the log, once, and health() says so', async ({ client, election, log }) => {
    const one = election(client(), 'e');
    void one.campaign(8080 as never);
    void one.campaign(8080 as never);
    expect(log.of('campaign.refused')).toMatchObject([{ level: 50 }]);
    expect(one.health()).toMatchObject({ healthy: true, standing: false });
    expect(one.health().reason).toMatch(/^not standing: .*expected a string/);
    await one.campaign('8080');
    expect(one.health().reason).toBeUndefined();
  });

  test('of a second module that stands with the same client', async ({ client, election, log }) => {
    const own = client();
    const [first, second] = [election(own, 'e'), election(own, 'e')];
    await first.campaign();
    void second.campaign();
    void second.lead(7 as never);
    expect(log.of('campaign.refused')).toHaveLength(2);
    expect(second.health().reason).toContain('not standing');
    expect(first.health().reason).toBeUndefined();
  });

  test('by etcd: an error, and unhealthy, because nobody tries again', async ({ client, election, log }) => {
    const gone = client();
    gone.close();
    const one = election(gone, 'e');
    void one.campaign();
    await eventually(() => log.of('campaign.ended').length === 1, { withinMs: SOON_MS });
    expect(log.of('campaign.ended')).toMatchObject([{ reason: 'refused', level: 50 }]);
    await eventually(() => expect(one.health().healthy).toBe(false), { withinMs: SOON_MS });
    expect(one.health().reason).toMatch(/^not standing: the Etcd3 client of election "e" was closed/);
  });

  test('an orderly end is no error', async ({ candidate, log }) => {
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
  test('goes with the work, what is registered, and clean-ups', async ({ client, election }) => {
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

  test('onFollower: an error that names it, and unhealthy, before it is needed', async ({
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

  test('onLeader: unhealthy also after close()', async ({ candidate }) => {
    const alice = candidate('alice', { drainTimeoutMs: 50, onLeader: () => never });
    await alice.campaign();
    await alice.election.close();
    await eventually(() => !alice.election.health().healthy, { withinMs: SOON_MS });
  });
});

test('whoever waits long in campaign() is told once, and behind whom', async ({ candidate, log }) => {
  await candidate('alice').campaign();
  const bob = candidate('bob');
  void bob.campaign();
  await eventually(() => log.of('candidate.waiting').length === 1, { withinMs: 5_000 + SOON_MS });
  expect(log.of('candidate.waiting')[0]!.msg).toContain('behind "alice"');
});

test('a term that is kept for ever warns once when a newer one is there', async ({
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
  test('shows no leader, and says what it lost the lease by', async ({ client, election, log }) => {
    const options = { ttlSeconds: SHORT_TTL_SECONDS };
    const [one, other] = [election(client(), 'e', options), election(client(), 'e', options)];
    const term = await one.campaign();
    void other.campaign();
    await sleep(50);
    block(SHORT_TTL_SECONDS * 1_000 + 1_200);
    expect(term.signal.aborted).toBe(false); // its timer has not fired yet
    expect(one.isCurrent()).toBe(false);
    expect(one.currentTerm).toBeUndefined();
    expect(one.status).toMatchObject({ state: 'leaving', term: undefined, leader: undefined });
    await within(SOON_MS, 'the end of the term', abortOf(term.signal));
    expect(log.of('process.stalled')[0]!.msg).toContain('its own code kept it busy');
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

test('isMe tells our own candidate from others that announce the same', async ({ client, election }) => {
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

test('by default no two processes announce the same', async ({ client, election }) => {
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
    const replicas = ['a', 'b', 'c'].map((who) => ({ who, one: election(client(), 'report') }));
    const results = await Promise.all(
      replicas.map(({ one, who }) => one.lead(job(runs, who), { ifFree: true, atLeastMs: 500 })),
    );
    expect(runs).toHaveLength(1);
    expect(results.filter((result) => result !== undefined)).toEqual(runs);
  });

  test('one that starts late skips as long as the seat is held, and runs after that', async ({
    client,
    election,
  }) => {
    const runs: string[] = [];
    const [a, b] = [election(client(), 'report'), election(client(), 'report')];
    const first = a.lead(job(runs, 'a'), { ifFree: true, atLeastMs: 1_000 });
    await eventually(() => runs.length === 1, { withinMs: SOON_MS });
    expect(await b.lead(job(runs, 'b'), { ifFree: true })).toBeUndefined();
    expect(await first).toBe('a');
    expect(await b.lead(job(runs, 'b'), { ifFree: true, atLeastMs: 0 })).toBe('b');
    expect(runs).toEqual(['a', 'b']);
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

  test('what the job throws is thrown, at once; a bad option is refused', async ({ client, election }) => {
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
