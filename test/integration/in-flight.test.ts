import type { Etcd3 } from 'etcd3';
import { describe, expect } from 'vitest';
import { test } from '../support/world.ts';

/** More than any connection should carry at once. */
const AT_ONCE = 1_000;
/** From the table of loops in docs/design.md. */
const IN_FLIGHT = 64;

/** Counts the concurrent transactions of a client: the largest number. */
function countUnderWay(client: Etcd3): { readonly most: number } {
  const count = { underWay: 0, most: 0 };
  const txn = client.kv.txn.bind(client.kv);
  client.kv.txn = async (...args) => {
    count.most = Math.max(count.most, ++count.underWay);
    try {
      return await txn(...args);
    } finally {
      count.underWay--;
    }
  };
  return count;
}

describe('calls of one client', () => {
  test('of a thousand at once 64 are in flight, the others wait, and all succeed', async ({
    world,
    client,
    election,
  }) => {
    const shared = client();
    const elections = Array.from(
      { length: AT_ONCE },
      (_, index) => election(shared, `e${index}`, { ttlSeconds: 60 }), // no lease is lost on a busy machine
    );
    const terms = await Promise.all(elections.map((one) => one.campaign()));
    const count = countUnderWay(shared);
    // Entries would share transactions, but each write has its own.
    await Promise.all(terms.map((term, index) => term.put(`${world.prefix}written/${index}`, 'x')));
    expect(count.most).toBe(IN_FLIGHT);
  });
});
