// The elections of a client have connections of their own: whatever the application does on the client does not bear on them.
import { describe, expect } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { startSwitchboard } from '../support/switchboard.ts';
import { SOON_MS, test } from '../support/world.ts';

describe('a client whose own calls all fail', () => {
  test('its elections enter, write and hand over all the same', async ({ candidate, client, world }) => {
    // etcd3's breaker of this client is open from the third failing call on.
    const failing = client({ defaultCallOptions: () => ({ deadline: Date.now() - 1 }) });
    for (let call = 0; call < 5; call++)
      await failing
        .get('key')
        .string()
        .catch(() => undefined);
    const alice = candidate('alice', { client: failing });
    const term = await alice.campaign();
    for (let write = 0; write < 5; write++) {
      await failing
        .get('key')
        .string()
        .catch(() => undefined);
      const answer = await term
        .txn()
        .then(failing.put(`${world.prefix}log`).value(write))
        .commit();
      expect(answer.succeeded).toBe(true);
    }
    await alice.election.resign();
  });
});

test('fenced writes that hang on a silent host do not keep a resignation waiting', async ({
  candidate,
  client,
  world,
}) => {
  const [etcd] = world.etcd.endpoints;
  await using silent = await startSwitchboard(etcd!);
  await using sound = await startSwitchboard(etcd!);
  const ours = client({ hosts: [silent.endpoint, sound.endpoint] });
  const alice = candidate('alice', { client: ours });
  const bob = candidate('bob');
  const term = await alice.campaign();
  void bob.campaign();
  await bob.queued();

  silent.hold();
  for (let write = 0; write < 400; write++)
    void term
      .txn()
      .then(ours.put(`${world.prefix}w${write}`).value('x'))
      .commit()
      .catch(() => undefined);
  await alice.election.resign();
  await bob.elected(SOON_MS);
  await eventually(() => alice.election.status.state === 'idle', { withinMs: SOON_MS });
});

test('an election takes a host as gRPC users write it: dns:///host:port', async ({ candidate, world }) => {
  const { port } = new URL(world.etcd.endpoints[0]!);
  const alice = candidate('alice', { hosts: `dns:///127.0.0.1:${port}` });
  expect((await alice.campaign()).isCurrent()).toBe(true);
});
