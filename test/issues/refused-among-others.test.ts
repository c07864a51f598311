// etcd refused one election of a client. The other elections of that client, which etcd permitted, paid for it.
import { Etcd3 } from 'etcd3';
import type { EtcdCluster } from 'etcd-election/dev';
import { afterAll, beforeAll, expect } from 'vitest';
import { startEtcdWithUsers } from '../support/etcd-with-users.ts';
import { eventually } from '../support/eventually.ts';
import {
  SHORT_TTL_SECONDS,
  SOON_MS,
  test,
  TTL_SECONDS,
  type Fixtures,
  type TestCandidate,
} from '../support/world.ts';

/** Much longer than a new term may take. */
const LONG_TTL_SECONDS = 30;

// Our own etcd, because we enable authentication.
let cluster: EtcdCluster;
let root: Etcd3;

beforeAll(async () => {
  cluster = await startEtcdWithUsers('app/');
  root = new Etcd3({ hosts: cluster.endpoints, auth: { username: 'root', password: 'secret' } });
});
afterAll(async () => {
  root.close();
  await cluster.stop();
});

type Permission = 'Read' | 'Write';

/** Gives the user a role that permits this under the prefix. @returns a function that takes the role away. */
async function permit(user: string, prefix: string, permission: Permission): Promise<() => Promise<unknown>> {
  const role = root.role(`${user}-${prefix}-${permission}`);
  await role.create();
  await role.grant({ permission, range: root.range({ prefix }) });
  await root.user(user).addRole(role);
  return () => root.user(user).removeRole(role);
}

/** Two leading elections of one client, and functions that withdraw a permission of the second one. */
async function twoLeaders(
  { candidate, client, prefix }: Pick<Fixtures, 'candidate' | 'client' | 'prefix'>,
  ttlSeconds: number,
): Promise<{
  permitted: TestCandidate;
  refused: TestCandidate;
  withdraw: Record<Permission, () => Promise<unknown>>;
}> {
  const user = prefix.slice(0, -1);
  await root.user(user).create('secret');
  const [permittedKeys, refusedKeys] = [`permitted-${prefix}`, `refused-${prefix}`];
  for (const each of ['Read', 'Write'] as const) await permit(user, permittedKeys, each);
  const withdraw = {
    Read: await permit(user, refusedKeys, 'Read'),
    Write: await permit(user, refusedKeys, 'Write'),
  };
  const ours = client({ hosts: cluster.endpoints, auth: { username: user, password: 'secret' } });
  const permitted = candidate('permitted', { client: ours, prefix: permittedKeys, ttlSeconds });
  const refused = candidate('refused', { client: ours, prefix: refusedKeys, ttlSeconds });
  await permitted.campaign();
  await refused.campaign();
  return { permitted, refused, withdraw };
}

test('L3: an election that etcd refuses closes: the other elections of its client lead again soon', async ({
  candidate,
  client,
  prefix,
  log,
}) => {
  const { permitted, refused, withdraw } = await twoLeaders({ candidate, client, prefix }, LONG_TTL_SECONDS);
  const first = permitted.election.currentTerm!;
  await withdraw.Write();
  await refused.election.close();
  expect(log.of('release.failed')).toHaveLength(1);
  expect(first.isCurrent(), 'only the end of the lease can remove the refused key').toBe(false);

  const second = await permitted.elected(SOON_MS);
  expect(second.fencingToken).toBeGreaterThan(first.fencingToken);
});

test('L3: etcd no longer lets us read the keys of one election: that election is unhealthy, and the other renews', async ({
  candidate,
  client,
  prefix,
  log,
}) => {
  // The permitted election has entered first, so the probes of the watch name its keys and are not denied.
  const { permitted, refused, withdraw } = await twoLeaders({ candidate, client, prefix }, TTL_SECONDS);
  await withdraw.Read();
  // Renewals read the keys of both elections in turn.
  await eventually(() => log.of('candidate.refused').length > 0, {
    withinMs: (TTL_SECONDS * 1_000 * 2) / 3 + SOON_MS,
  });
  expect(refused.election.health()).toMatchObject({ healthy: false, leading: false, standing: true });
  expect(refused.election.health().reason).toMatch(/permission denied/);

  await permitted.elected(SOON_MS);
  expect(permitted.election.health()).toMatchObject({ healthy: true, leading: true });
  const [faltered, renewed] = [log.of('session.faltered').length, log.of('session.renewed').length];
  await eventually(() => log.of('session.renewed').length > renewed + 2, {
    withinMs: TTL_SECONDS * 1_000 + SOON_MS,
  });
  expect(log.of('session.faltered')).toHaveLength(faltered);
});

test('G5: while etcd refuses a campaign, its retries keep no lease that cannot be confirmed', async ({
  candidate,
  client,
  prefix,
  log,
}) => {
  const user = prefix.slice(0, -1);
  await root.user(user).create('secret');
  const withdrawReading = await permit(user, prefix, 'Read');
  await permit(user, prefix, 'Write');
  const ours = client({ hosts: cluster.endpoints, auth: { username: user, password: 'secret' } });
  const alice = candidate('alice', { client: ours, ttlSeconds: SHORT_TTL_SECONDS });
  await alice.campaign();
  await withdrawReading();
  await eventually(() => log.of('candidate.refused').length > 0 && !alice.election.isCurrent(), {
    withinMs: SHORT_TTL_SECONDS * 1_000 + SOON_MS,
  });
  const complaints = (): number =>
    ['session.faltered', 'session.lost', 'session.held'].flatMap((event) => log.of(event)).length;
  await eventually(() => log.of('session.closed').length > 0, { withinMs: SOON_MS });
  const before = complaints();

  // The first retries come soon after each other.
  await eventually(() => log.of('session.closed').length > 2, { withinMs: 2 * SOON_MS });
  expect(complaints()).toBe(before);
});
