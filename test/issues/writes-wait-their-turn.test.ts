import { OutcomeUnknownError, UnavailableError } from 'etcd-election';
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
