import { type Leader } from 'etcd-election';
import { describe, expect } from 'vitest';
import { eventually, within } from '../support/eventually.ts';
import { SOON_MS, test } from '../support/world.ts';

describe('onLeaderChange', () => {
  test('is called at every change, ours included, and is not awaited', async ({ client, election }) => {
    const heard: (string | undefined)[] = [];
    const onLeaderChange = (leader: Leader | undefined): Promise<never> => {
      heard.push(leader?.value);
      return new Promise(() => undefined);
    };
    const [a, b] = [election(client(), 'e', { onLeaderChange }), election(client(), 'e')];
    await a.campaign('a');
    void b.campaign('b');
    await eventually(async () => (await a.candidates()).length === 2, { withinMs: SOON_MS });
    await a.stepDown();
    await eventually(() => heard.at(-1) === 'b', { withinMs: SOON_MS });
    await within(SOON_MS, 'b.close()', b.close());
    await eventually(() => heard.at(-1) === 'a', { withinMs: SOON_MS });
    await within(SOON_MS, 'a.close()', a.close());
    expect(heard.filter((value) => value !== undefined)).toEqual(['a', 'b', 'a']);
  });

  test('S3: names us while we lead, so what it starts may ask isCurrent()', async ({
    candidate,
    client,
    election,
  }) => {
    const seen: unknown[] = [];
    const other = election(client(), 'e');
    await other.campaign();
    const alice = candidate('alice', {
      onLeaderChange: (leader) => {
        if (leader?.isMe !== true) return;
        const { status, currentTerm } = alice.election;
        seen.push([status.state, currentTerm?.fencingToken === leader.fencingToken]);
        if (seen.length < 3) void alice.election.stepDown();
      },
    });
    void alice.campaign();
    await alice.queued();
    await other.resign(); // then it leads after a wait, and the next two times without one
    await eventually(() => seen.length === 3, { withinMs: SOON_MS });
    const leading = ['leading', true];
    expect(seen).toEqual([leading, leading, leading]);
    expect(alice.election.isCurrent()).toBe(true);
  });

  test('causes only a log line if it throws', async ({ client, election, log }) => {
    const one = election(client(), 'e', {
      onLeaderChange: () => {
        throw new Error('broken');
      },
    });
    await one.campaign();
    await eventually(() => log.of('callback.failed').length > 0, { withinMs: SOON_MS });
    expect(one.status.state).toBe('leading');
  });
});

test('S3: a subscriber that closes in term.started prevents onLeader', async ({ candidate, history }) => {
  const { subscribe, unsubscribe } = await import('node:diagnostics_channel');
  const alice = candidate('alice');
  const close = (): void => void alice.election.close();
  subscribe('etcd-election:term.started', close);
  const campaign = alice.campaign();
  await expect(campaign).rejects.toMatchObject({ code: 'ELECTION_CLOSED' });
  unsubscribe('etcd-election:term.started', close);
  expect(history.callbacks('alice')).toEqual([]);
});

test('a subscriber that steps down in term.started ends that term', async ({ candidate, log }) => {
  const { subscribe, unsubscribe } = await import('node:diagnostics_channel');
  const alice = candidate('alice');
  let asked = 0;
  const stepDown = (): void => {
    if (asked++ === 0) void alice.election.stepDown();
  };
  subscribe('etcd-election:term.started', stepDown);
  await alice.campaign();
  unsubscribe('etcd-election:term.started', stepDown);
  await eventually(() => log.of('term.started').length === 2, { withinMs: SOON_MS });
  expect(log.of('term.ended')).toMatchObject([{ reason: 'stepped-down' }]);
});
