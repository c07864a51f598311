import type { Etcd3 } from 'etcd3';
import { describe, expect } from 'vitest';
import { test } from '../support/world.ts';

/** More than any connection carries well. */
const AT_ONCE = 1_000;
/** As docs/design.md says, in its table of loops. */
const IN_FLIGHT = 64;

/** Counts the transactions of a client that are under way at once: the most there were. */
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
  test('a thousand at once: 64 are under way, the others wait their turn, and all come through', async ({
    world,
    client,
    election,
  }) => {
    const shared = client();
    const elections = Array.from({ length: AT_ONCE }, (_, index) => election(shared, `e${index}`));
    const terms = await Promise.all(elections.map((one) => one.campaign()));
    const count = countUnderWay(shared);
    // Entries would share transactions. Each write has its own.
    await Promise.all(terms.map((term, index) => term.put(`${world.prefix}written/${index}`, 'x')));
    expect(count.most).toBe(IN_FLIGHT);
  });
});
