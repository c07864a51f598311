// S2 after a freeze: no timer has fired, so nobody has ended the term yet. The clock says that it is over.
import type { Election, ElectionOptions, Term } from 'etcd-election';
import { describe, expect } from 'vitest';
import { block } from '../support/block.ts';
import { eventually, within } from '../support/eventually.ts';
import { SHORT_TTL_SECONDS, SOON_MS, test, type Fixtures } from '../support/world.ts';

const options = { ttlSeconds: SHORT_TTL_SECONDS };
const PAST_DEADLINE_MS = SHORT_TTL_SECONDS * 1_000 + 200;

/** Fails unless the first term in which `onLeader` begins is current. */
async function beginsInTime(
  { client, election }: Pick<Fixtures, 'client' | 'election'>,
  callbacks: (self: () => Election) => Pick<ElectionOptions, 'onFollower' | 'onLeaderChange'>,
): Promise<void> {
  const begun: boolean[] = [];
  const one: Election = election(client(), 'e', {
    ...options,
    ...callbacks(() => one),
    onLeader: (term) => void begun.push(term.isCurrent()),
  });
  void one.campaign();
  await eventually(() => begun.length > 0, { withinMs: PAST_DEADLINE_MS + 2 * SOON_MS });
  expect(begun).toEqual([true]);
}

describe('S2: after a freeze past the deadline', () => {
  test('onLeader does not begin, although onFollower settles first', async ({ client, election }) => {
    const settled: string[] = [];
    const other = election(client(), 'e', options);
    await other.campaign();
    await beginsInTime({ client, election }, (self) => ({
      onFollower: async () => {
        if (settled.push('once') > 1) return;
        void other.close();
        await eventually(() => self().isCurrent(), { withinMs: SOON_MS });
        block(PAST_DEADLINE_MS);
      },
    }));
  });

  test('onLeader does not begin, although onLeaderChange took the time', async ({ client, election }) => {
    let isFirst = true;
    await beginsInTime({ client, election }, () => ({
      onLeaderChange: (leader) => {
        if (leader?.isMe !== true || !isFirst) return;
        isFirst = false;
        block(PAST_DEADLINE_MS);
      },
    }));
  });

  test('term.run() refuses, and campaign() gives the next term', async ({ client, election }) => {
    const one = election(client(), 'e', options);
    const term = await one.campaign();
    block(PAST_DEADLINE_MS);
    const began: string[] = [];
    await expect(term.run(() => void began.push('work'))).rejects.toMatchObject({
      code: 'ELECTION_LEADERSHIP_LOST',
      reason: 'deadline-passed',
    });
    expect(began).toEqual([]);
    const next = await within(SOON_MS, 'the next term', one.campaign());
    expect(next.isCurrent()).toBe(true);
    expect(next.fencingToken).toBeGreaterThan(term.fencingToken);
  });

  test('campaign() refuses a callback that the next term waits for', async ({ client, election }) => {
    const codes: unknown[] = [];
    const one = election(client(), 'e', {
      ...options,
      onLeader: async (term: Term) => {
        if (codes.length > 0) return;
        block(PAST_DEADLINE_MS);
        expect(term.isCurrent()).toBe(false);
        codes.push(
          await one.campaign().then(
            () => 'resolved',
            ({ code }) => code as unknown,
          ),
        );
      },
    });
    void one.campaign();
    await eventually(() => codes.length > 0, { withinMs: PAST_DEADLINE_MS + SOON_MS });
    expect(codes).toEqual(['ELECTION_ALREADY_STANDING']);
  });

  test('a closed client ends campaign(), although its term has not ended yet', async ({
    client,
    election,
  }) => {
    const own = client();
    const one = election(own, 'e', options);
    const term = await one.campaign();
    own.close();
    expect(term.isCurrent()).toBe(false);
    await expect(one.campaign()).rejects.toMatchObject({ code: 'ELECTION_REFUSED' });
  });
});
