import diagnosticsChannel from 'node:diagnostics_channel';
import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import { startProxy, type FaultyProxy } from 'etcd-election/dev';
import { describe, expect } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { SOON_MS, test as base } from '../../support/world.ts';

// Calls that are not awaited, and calls that end while the guard holds them.

const test = base.extend<{ network: FaultyProxy }>({
  network: async ({ etcd }, use) => {
    await using network = await startProxy({ target: etcd.endpoints[0]! });
    await use(network);
  },
});

const noop = (): void => undefined;
const NEVER = new Promise<never>(noop);

describe('an iteration over the leaders', () => {
  test('G1: a thousand next() may wait; each further one is refused after a growing delay', async ({
    client,
    election,
  }) => {
    const leaders = election(client(), 'e').observe();
    await leaders.next();
    const waiting = Array.from({ length: 1_000 }, () => leaders.next());
    await expect(leaders.next()).rejects.toThrow(
      /1000 calls of next\(\) wait for the leader of election "e"/,
    );
    await leaders.return();
    await Promise.all(waiting);
  });

  test('G4: a microtask loop around next() gets a runaway error', async ({ client, election }) => {
    const leaders = election(client(), 'e').observe();
    const asked: Promise<unknown>[] = [];
    const loop = (): void => {
      for (let i = 0; i < 3_000; i++) asked.push(leaders.next());
    };
    expect(loop).toThrow(/runaway/);
    await leaders.return();
    await Promise.allSettled(asked);
  });

  test('G2: a loop around a finished iteration is reported under its own function', async ({
    client,
    election,
  }) => {
    const leaders = election(client(), 'named').observe();
    await leaders.return();
    const calledFrom: (string | undefined)[] = [];
    const note = (message: unknown): void => {
      const fact = message as { election: string; calledFrom?: string };
      if (fact.election === 'named') calledFrom.push(fact.calledFrom);
    };
    diagnosticsChannel.subscribe('etcd-election:guard.tripped', note);
    const asksAgainAndAgain = async (): Promise<void> => {
      while (calledFrom.length === 0) await leaders.next();
    };
    try {
      await asksAgainAndAgain();
    } finally {
      diagnosticsChannel.unsubscribe('etcd-election:guard.tripped', note);
    }
    expect(calledFrom[0]).toMatch(/^asksAgainAndAgain /);
  });

  test('G1: a loop over iterations that their own signals end early is held too', async ({
    client,
    election,
  }) => {
    const one = election(client(), 'e');
    let rounds = 0;
    const untilMs = performance.now() + 3_000;
    while (performance.now() < untilMs) {
      rounds++;
      for await (const _ of one.observe({ signal: AbortSignal.timeout(1) }));
    }
    expect(rounds).toBeLessThan(30); // twenty at once, and then at most four a second
  });
});

describe('an unreachable host', () => {
  test('G1: failing calls of the application do not make us connect more often', async ({
    network,
    election,
  }) => {
    const client = new Etcd3({ hosts: network.endpoint });
    const one = election(client, 'e');
    await one.leader();
    let dials = 0;
    const count = (): void => void dials++;
    network.cut();
    diagnosticsChannel.subscribe('net.client.socket', count);
    const untilMs = performance.now() + 5_000;
    while (performance.now() < untilMs) await one.leader().catch(noop);
    diagnosticsChannel.unsubscribe('net.client.socket', count);
    expect(dials).toBeLessThanOrEqual(5);
    await network.restore();
    await eventually(async () => void (await one.leader()), { withinMs: 3_000 + SOON_MS });
    client.close();
  });
});

describe('registrations with a term', () => {
  test('G5: beyond a generous limit are refused, and are cleaned up at the end', async ({
    client,
    election,
  }) => {
    const one = election(client(), 'e', { drainTimeoutMs: 100 });
    const term = await one.campaign();
    for (let i = 0; i < 1_000; i++) term.every(60_000, noop);
    expect(() => term.every(60_000, noop)).toThrow(/1000 jobs or clean-ups are registered already/);
    const fill = async (): Promise<void> => {
      for (let turn = 0; turn < 3; turn++, await sleep(1))
        for (let i = 0; i < 3_000; i++) term.run(NEVER).catch(noop);
    };
    await fill();
    await expect(term.run(NEVER)).rejects.toThrow(/10000 jobs or clean-ups/);
    await one.close();
  });
});
