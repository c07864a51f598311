import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import { AlreadyStandingError, Election, liveElections, loopGuards, RunawayLoopError } from 'etcd-election';
import { startProxy, type FaultyProxy } from 'etcd-election/dev';
import { describe, expect } from 'vitest';
import { startRefusingRelay, type RefusingRelay } from '../../../bench/guard/refusing-relay.ts';
import { MOST_CAMPAIGNS } from '../../../src/loop-guard/loop-guard.ts';
import { eventually } from '../../support/eventually.ts';
import { BURST, mostIterations, mostRounds, watch, WATCH_MS, type Watched } from '../../support/hot-loop.ts';
import { SOON_MS, test as base } from '../../support/world.ts';

// The deterministic rows of bench/guard/matrix.md, by calls counted between us and etcd, never by CPU.

/** Each successful round of a loop costs a few calls: grant, enter, release, revoke, and streams. */
const CALLS_A_ROUND = 6;
const mostCalls = (seen: Watched): number => CALLS_A_ROUND * mostRounds(seen);
/** L5: after an outage of any length. */
const BACK_WITHIN_MS = 3_000;

interface Between {
  /** Passes calls on, counts them, and refuses some on request. */
  relay: RefusingRelay;
  /** A network that can fail. */
  network: FaultyProxy;
}

/** The network between the candidates and etcd must outlive them. */
const test = base.extend<Between>({
  relay: async ({ etcd }, use) => {
    await using relay = await startRefusingRelay(etcd.endpoints[0]!);
    await use(relay);
    await Promise.all(liveElections().map((one) => one.close()));
  },
  network: async ({ etcd }, use) => {
    await using network = await startProxy({ target: etcd.endpoints[0]! });
    await use(network);
    await network.restore();
    await Promise.all(liveElections().map((one) => one.close()));
  },
});

/** Repeats an act at a fixed interval until the end of the test, as an operator's script would. */
function repeatedly(everyMs: number, act: () => PromiseLike<unknown>): () => Promise<void> {
  const over = new AbortController();
  const done = (async () => {
    for (let turn = 0; turn < 1_000 && !over.signal.aborted; turn++) {
      await act();
      await sleep(everyMs, undefined, { signal: over.signal }).catch(() => undefined);
    }
  })();
  return async () => {
    over.abort();
    await done;
  };
}

describe("the caller's loops, in calls at etcd", () => {
  test('G1, G5: the loop of the incident: a new Election each round, the result ignored', async ({
    relay,
    client,
    election,
  }) => {
    const shared = client({ hosts: relay.endpoint });
    const seen = await watch(() => election(shared).campaign('10.0.0.7'));
    expect(seen.rounds).toBeLessThanOrEqual(mostRounds(seen));
    // It enters once. Every further round is refused without a call to etcd.
    expect(relay.calls).toBeLessThanOrEqual(CALLS_A_ROUND);
  });

  test('G6: it trips with one event and one line that names the caller, also for refusals', async ({
    world,
    client,
    election,
    log,
  }) => {
    const shared = client();
    async function newLeasesLock(): Promise<void> {
      await election(shared).campaign('10.0.0.7');
    }
    await watch(newLeasesLock, WATCH_MS, BURST + 2);
    expect(log.of('guard.tripped')).toHaveLength(1);
    expect(log.of('guard.tripped')[0]).toMatchObject({
      calledFrom: expect.stringContaining('newLeasesLock') as string,
    });
    const refusals = loopGuards().find(
      ({ key, purpose }) => key.includes(world.prefix) && purpose === 'refusals',
    );
    expect(refusals?.callSites[0]?.stack.join()).toContain('newLeasesLock');
  });

  test('G1, G5: campaign, resign, campaign', async ({ relay, client, election }) => {
    const one = election(client({ hosts: relay.endpoint }));
    const seen = await watch(async () => {
      await one.campaign('10.0.0.7');
      await one.resign();
    });
    expect(relay.calls).toBeLessThanOrEqual(mostCalls(seen));
  });

  test('G1, G5: lead() with no work, on a new object each round', async ({ relay, client, election }) => {
    const shared = client({ hosts: relay.endpoint });
    const seen = await watch(() => election(shared).lead(async () => undefined));
    expect(relay.calls).toBeLessThanOrEqual(mostCalls(seen));
  });

  test('G1, G5: values announced in a loop: the newest wins after a few writes', async ({
    relay,
    client,
    election,
  }) => {
    const one = election(client({ hosts: relay.endpoint }));
    const term = await one.campaign('0');
    const before = relay.calls;
    let turn = 0;
    const seen = await watch(() => term.proclaim(`${turn++}`));
    expect(relay.calls - before).toBeLessThanOrEqual(mostIterations(seen));
  });

  test('G1, G5: leader() in a loop: concurrent callers share one read', async ({
    relay,
    client,
    election,
  }) => {
    const one = election(client({ hosts: relay.endpoint }));
    const all = await Promise.all(Array.from({ length: 10 }, () => watch(() => one.leader())));
    const tookMs = Math.max(...all.map((seen) => seen.tookMs));
    expect(relay.calls).toBeLessThanOrEqual(20 + tookMs / 50);
  });

  test('G1, G5: observe() that is stopped at once', async ({ relay, client, election }) => {
    const one = election(client({ hosts: relay.endpoint }));
    const seen = await watch(async () => {
      for await (const _ of one.observe()) break;
    });
    expect(relay.calls).toBeLessThanOrEqual(3 * mostIterations(seen));
  });
});

describe('floods', () => {
  test('G4: 10,000 un-awaited campaign() in one turn: throws, names the election, and the process survives', async ({
    relay,
    client,
    election,
  }) => {
    const one = election(client({ hosts: relay.endpoint }), 'flooded');
    let thrown: unknown;
    try {
      for (let i = 0; i < 10_000; i++) void one.campaign('10.0.0.7');
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(RunawayLoopError);
    expect((thrown as Error).message).toContain('"flooded"');
    await nextTurn();
    await nextTurn();
    const term = await one.campaign();
    expect(term.isCurrent()).toBe(true);
    expect(relay.calls).toBeLessThanOrEqual(CALLS_A_ROUND);
  });

  test('G5: un-awaited refusals share a timer', async ({ client, election }) => {
    const one = election(client());
    await one.campaign('10.0.0.7');
    const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const before = timers();
    let refused = 0;
    for (let turn = 0; turn < 300; turn++) {
      one.campaign(7 as never).catch(() => refused++);
      await nextTurn();
    }
    expect(timers() - before).toBeLessThanOrEqual(3);
    await eventually(() => refused === 300, { withinMs: SOON_MS });
  });

  test('G3, G5: a new client each turn: the number of campaigns of one election is bounded', async ({
    world,
    log,
  }) => {
    const clients: Etcd3[] = [];
    const elections: Election[] = [];
    const refused: unknown[] = [];
    for (let turn = 0; turn < 50; turn++) {
      const own = new Etcd3({ hosts: world.etcd.endpoints });
      clients.push(own);
      const one = new Election(own, 'e', { prefix: world.prefix, logger: log.logger });
      elections.push(one);
      one.campaign('10.0.0.7').catch((error: unknown) => refused.push(error));
      await nextTurn();
    }
    // A refusal comes late, after a timer. What was admitted is known at once.
    expect(elections.filter((one) => one.health().standing)).toHaveLength(MOST_CAMPAIGNS);
    await eventually(() => refused.length > 0, { withinMs: SOON_MS });
    expect(refused[0]).toBeInstanceOf(AlreadyStandingError);
    await Promise.all(elections.map((one) => one.close()));
    for (const own of clients) own.close();
  });
});

describe('etcd and the network, in calls and connections', () => {
  test('G5, L5: a refusing host: few connections, and recovery within 3 s', async ({
    network,
    candidate,
  }) => {
    const alice = candidate('alice', { hosts: network.endpoint });
    await alice.campaign();
    network.resetAll(); // refuses connections too, but counts them
    const before = network.connections;
    await sleep(2 * WATCH_MS);
    expect(network.connections - before).toBeLessThanOrEqual(12);
    await network.restore();
    await eventually(() => alice.elected(), { withinMs: BACK_WITHIN_MS });
  });

  test('G5, L5: "too many requests": few retries, and recovery within 3 s', async ({
    relay,
    candidate,
    log,
  }) => {
    const alice = candidate('alice', { hosts: relay.endpoint });
    relay.refuse = {
      code: 2,
      message: 'etcdserver: too many requests',
      methods: /\/(Txn|LeaseGrant|Range)$/,
    };
    void alice.campaign();
    await sleep(2 * WATCH_MS);
    expect(relay.refused).toBeGreaterThan(1);
    expect(relay.refused).toBeLessThanOrEqual(10);
    expect(log.lines.length).toBeLessThanOrEqual(20);
    relay.refuse = undefined;
    await alice.elected(BACK_WITHIN_MS);
  });
});

describe('operators', () => {
  test('G5, L5: the key is deleted every 100 ms: few rounds, and recovery within 3 s', async ({
    world,
    candidate,
    history,
  }) => {
    const alice = candidate('alice');
    await alice.campaign();
    const end = repeatedly(100, () => world.own.delete().prefix(`${world.prefix}e/`).exec());
    const begunAtMs = performance.now();
    await sleep(2 * WATCH_MS);
    await end();
    expect(history.leaders().length).toBeLessThanOrEqual(
      mostRounds({ tookMs: performance.now() - begunAtMs }),
    );
    await eventually(() => alice.elected(), { withinMs: BACK_WITHIN_MS });
  });

  test('G5, L5: the lease is revoked every 100 ms: few rounds, and recovery within 3 s', async ({
    world,
    candidate,
    history,
  }) => {
    const alice = candidate('alice');
    await alice.campaign();
    const end = repeatedly(100, async () => {
      const { kvs } = await world.own.getAll().prefix(`${world.prefix}e/`).exec();
      for (const { lease } of kvs)
        await world.own.leaseClient.leaseRevoke({ ID: lease }).catch(() => undefined);
    });
    const begunAtMs = performance.now();
    await sleep(2 * WATCH_MS);
    await end();
    expect(history.leaders().length).toBeLessThanOrEqual(
      mostRounds({ tookMs: performance.now() - begunAtMs }),
    );
    await eventually(() => alice.elected(), { withinMs: BACK_WITHIN_MS });
  });

  test('G5: a compaction every 100 ms has no effect', async ({ world, candidate, history }) => {
    const alice = candidate('alice');
    await alice.campaign();
    const end = repeatedly(100, async () => {
      const { header } = await world.own.put(`${world.prefix}beat`).value('x').exec();
      await world.own.kv.compact({ revision: header.revision }).catch(() => undefined);
    });
    await sleep(WATCH_MS);
    await end();
    expect(history.leaders()).toEqual(['alice']);
    await world.own.delete().key(`${world.prefix}beat`);
  });
});

describe('etcd3 itself', () => {
  test("G5: a user's calls with a fixed deadline open the breaker, and our term continues", async ({
    relay,
    candidate,
    history,
  }) => {
    const ttlSeconds = 5; // a busy machine costs no lease of this length
    const alice = candidate('alice', { hosts: relay.endpoint, ttlSeconds });
    await alice.campaign();
    const before = relay.calls;
    const end = repeatedly(50, () =>
      alice.client
        .get('user/key')
        .options({ deadline: Date.now() + 1 })
        .catch(() => undefined),
    );
    await sleep(1.5 * ttlSeconds * 1_000); // without renewals the lease would have expired
    await end();
    expect(history.leaders()).toEqual(['alice']);
    expect(alice.election.status.state).toBe('leading');
    // The calls that pass the breaker are the user's own.
    expect(relay.calls - before).toBeLessThanOrEqual(20);
  });

  test('G1, G5: a loop on a client that its owner has closed: each round is refused slowly', async ({
    client,
    election,
  }) => {
    const shared = client();
    shared.close();
    const seen = await watch(() => election(shared).campaign('10.0.0.7'));
    expect(seen.rounds).toBeLessThanOrEqual(mostRounds(seen));
    expect(seen.ticks).toBeGreaterThan(10);
  });
});
