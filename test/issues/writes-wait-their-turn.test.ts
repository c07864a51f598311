import { OutcomeUnknownError, RefusedError, UnavailableError } from 'etcd-election';
import { startProxy } from 'etcd-election/dev';
import { expect } from 'vitest';
import { test } from '../support/world.ts';

// While etcd answered nothing, each write waited without a limit for a place or a slot. Of 200 writes at once, the last failed
// after 22 s, and with exactlyOnce after 66 s.

const AT_ONCE = 200;
/** From the table of time limits in docs/design.md. */
const WRITE_LIMIT_MS = 5_000;
/** The guard delays the errors, and the machine may be busy. */
const MOST_MS = WRITE_LIMIT_MS + 7_000;

test.for([false, true])(
  '200 writes at once fail in time, with exactlyOnce: %s',
  async (exactlyOnce, { world }) => {
    await using network = await startProxy({ target: world.etcd.endpoints[0]! });
    const alice = world.candidate('alice', { hosts: network.endpoint, ttlSeconds: 120 });
    const term = await alice.campaign();
    const put = (name: number) => term.put(`${world.prefix}${name}`, 'x', { exactlyOnce });
    await Promise.all(Array.from({ length: AT_ONCE }, (_, name) => put(name)));
    network.stall();
    const begunAtMs = performance.now();
    const errors = await Promise.all(
      Array.from({ length: AT_ONCE }, (_, name) => put(name).catch((error: unknown) => error)),
    );
    expect(performance.now() - begunAtMs).toBeLessThan(MOST_MS);
    for (const error of errors)
      expect(error instanceof UnavailableError || error instanceof OutcomeUnknownError).toBe(true);
    expect(errors.some((error) => error instanceof UnavailableError)).toBe(true);
    network.resume();
    await put(0);
  },
);

// A write waits for its turn as long as etcd answers the writes before it. Two kinds of answers were not counted.

/** With 64 writes at once and this round trip, the last of them waits longer than one limit of the wait, 2.5 s. */
const MANY = 2_000;
const ONE_WAY_MS = 50;

test('S1: writes with exactlyOnce wait as long as etcd answers other writes', async ({ world }) => {
  await using network = await startProxy({ target: world.etcd.endpoints[0]! });
  const alice = world.candidate('alice', { hosts: network.endpoint, ttlSeconds: 60 });
  const term = await alice.campaign();
  network.slow(ONE_WAY_MS);
  const plain = Array.from({ length: MANY }, (_, name) => term.put(`${world.prefix}p${name}`, 'x'));
  const once = Array.from({ length: 20 }, (_, name) =>
    term.put(`${world.prefix}o${name}`, 'x', { exactlyOnce: true }),
  );
  const written = await Promise.allSettled([...plain, ...once]);
  expect(written.filter(({ status }) => status === 'rejected')).toEqual([]);
});

test('writes wait as long as etcd refuses the writes before them, and each gets its own error', async ({
  world,
}) => {
  await using network = await startProxy({ target: world.etcd.endpoints[0]! });
  const alice = world.candidate('alice', { hosts: network.endpoint, ttlSeconds: 60 });
  const term = await alice.campaign();
  network.slow(ONE_WAY_MS);
  const key = `${world.prefix}twice`;
  const twice = () => term.txn().then(alice.client.put(key).value('1'), alice.client.put(key).value('2'));
  const refused = await Promise.allSettled(Array.from({ length: MANY }, () => twice().commit()));
  expect(new Set(refused.map((one) => one.status === 'rejected' && one.reason.constructor))).toEqual(
    new Set([RefusedError]),
  );
});
