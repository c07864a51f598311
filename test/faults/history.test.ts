import { startEtcd, type EtcdCluster } from 'etcd-election/dev';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, expect, test, onTestFinished } from 'vitest';
import { CALL_LIMIT_MS } from '../../src/client/session.ts';
import { ROOT, setUpAuth, userOf } from './lab/auth.ts';
import { Backup, canBumpRevision, wipe } from './lab/backup.ts';
import { poll } from '../support/poll.ts';
import { nowMs } from './lab/history.ts';
import { etcdBinary } from './lab/etcd-binary.ts';
import { NOISE_MS } from './lab/lab.ts';
import { freshName, Replica } from './lab/replica.ts';

// etcd loses its data: it is wiped, or restored from a snapshot. Each test has its own etcd.

const TTL_S = 3;
const TTL_MS = TTL_S * 1_000;
const BACK_WITHIN_MS = 3_000; // L5
const start = async (members: 1 | 3 = 1): Promise<EtcdCluster> =>
  await startEtcd({ members, binary: await etcdBinary() });

const replica = (etcd: EtcdCluster, election: string, value: string, ttlSeconds = TTL_S): Promise<Replica> =>
  Replica.start({ endpoints: etcd.endpoints, election, value, options: { ttlSeconds } });

const queued = async (one: Replica, position: number): Promise<void> => {
  await poll(() => one.election.status.position, 5_000).toBe(position);
};

/** Raises the revision of etcd far above its default, as in a year of use. */
async function age(one: Replica, writes = 50): Promise<void> {
  for (let write = 0; write < writes; write++) await one.client.put('age').value(write);
}

describe.each([1, 3] as const)('etcd of %i members is wiped', (members) => {
  test('L5: a replica leads within 3 s of the first answer, and a warning says that tokens may repeat', async () => {
    await using etcd = await start(members);
    const name = freshName();
    await using alice = await replica(etcd, name, 'alice');
    await using bob = await replica(etcd, name, 'bob');
    await age(alice);
    alice.stand();
    await queued(alice, 1);
    bob.stand();
    await queued(bob, 2);
    const seen: (string | undefined)[] = [];
    const observing = (async () => {
      for await (const leader of bob.election.observe()) seen.push(leader?.value);
    })();

    const [former] = alice.terms;
    await wipe(etcd);
    const backMs = nowMs() + BACK_WITHIN_MS + NOISE_MS;
    const isNew = (one: Replica): boolean =>
      one.told('etcd.history-lost').length > 0 && one.election.status.position !== undefined;
    const both = [alice, bob];
    // The former term may last until its deadline.
    const leadsAnew = (one: Replica): boolean =>
      isNew(one) && one.leads && one.election.status.term !== former;
    await poll(() => both.some(leadsAnew), backMs - nowMs()).toBe(true);
    await poll(() => both.every(isNew), backMs - nowMs()).toBe(true);
    await poll(() => both.filter(({ leads }) => leads).length, TTL_MS).toBe(1);

    for (const one of both) {
      expect(one.told('etcd.history-lost')).toHaveLength(1);
      expect(one.told('etcd.history-lost')[0]).toMatchObject({ level: 'warn' });
      expect(one.told('etcd.history-lost')[0]!.message).toMatch(/may repeat.*--bump-revision/);
    }
    const leader = both.find(leadsAnew)!;
    const answer = await leader.election.status
      .term!.txn()
      .then(leader.client.put(`log-${name}`).value('1'))
      .commit();
    expect(answer.succeeded).toBe(true);
    await poll(() => seen.at(-1), TTL_MS).toBe(leader.value);
    await Promise.all([alice.election.close(), bob.election.close()]);
    await observing;
  });
});

describe('etcd is restored from a snapshot', () => {
  test('S1: we do not lead under our own restored key, because its token was used before', async () => {
    await using etcd = await start();
    const name = freshName();
    // We subscribe to the channel: a log accepts twelve lines at once, and four terms write more.
    const warnings: unknown[] = [];
    const hear = (message: unknown): void => void warnings.push(message);
    subscribe('etcd-election:etcd.history-lost', hear);
    onTestFinished(() => void unsubscribe('etcd-election:etcd.history-lost', hear));
    // On a busy machine a lease of three seconds ends during the restoration.
    await using alice = await replica(etcd, name, 'alice', 4 * TTL_S);
    await age(alice);
    alice.stand();
    await queued(alice, 1);
    const first = alice.terms[0]!.fencingToken;
    await using backup = await Backup.take(etcd);

    // One session and one lease throughout: the restored key belongs to a lease that we renew.
    for (let times = 0; times < 2; times++) {
      await alice.election.stepDown();
      await queued(alice, 1);
    }
    const used = alice.terms.map(({ fencingToken }) => fencingToken);
    expect(used).toHaveLength(3);
    await backup.restore();

    await poll(() => alice.terms.length, BACK_WITHIN_MS + NOISE_MS).toBe(4);
    expect(alice.told('session.lost')).toEqual([]);
    expect(alice.terms[3]!.fencingToken).not.toBe(first);
    expect(alice.terms[3]!.fencingToken).toBeGreaterThan(first);
    expect(await alice.client.getAll().prefix(`election/${name}/`).keys()).toHaveLength(1);
    await poll(() => warnings, TTL_MS).toHaveLength(1);
  });

  test('L3, L5: a leader whose key is in the snapshot keeps its term; later candidates enter again', async () => {
    await using etcd = await start(3);
    const name = freshName();
    await using alice = await replica(etcd, name, 'alice');
    await using bob = await replica(etcd, name, 'bob');
    await age(alice);
    alice.stand();
    await queued(alice, 1);
    await using backup = await Backup.take(etcd);
    await age(alice);
    bob.stand();
    await queued(bob, 2);

    await backup.restore();
    await poll(() => bob.told('candidate.entered').length, BACK_WITHIN_MS + NOISE_MS).toBe(2);
    await queued(bob, 2);
    expect(alice.leads).toBe(true);

    await alice.election.close();
    await poll(() => bob.leads, NOISE_MS).toBe(true);
    expect(bob.terms[0]!.fencingToken).toBeGreaterThan(alice.terms[0]!.fencingToken);
  });

  test.for([
    ['', []],
    [', with a raised revision', ['--bump-revision', '1000000000', '--mark-compacted']],
  ] as const)(
    'L2: our restored key is deleted although we have left, if another election keeps its lease%s',
    async ([, flags], { skip }) => {
      if (flags.length > 0 && !(await canBumpRevision()))
        return skip('the etcd at hand restores without --bump-revision');
      await using etcd = await start();
      const name = freshName();
      const ttlSeconds = 4 * TTL_S; // the lease does not end during the restoration
      await using alice = await replica(etcd, name, 'alice', ttlSeconds);
      await using bob = await replica(etcd, name, 'bob', ttlSeconds);
      const side = alice.another(`${name}-side`, { ttlSeconds });
      onTestFinished(() => side.close());
      await side.campaign('alice');
      alice.stand();
      await queued(alice, 1);
      bob.stand();
      await queued(bob, 2);
      await using backup = await Backup.take(etcd);
      await age(bob);
      await alice.election.resign();
      await poll(() => bob.leads, 5_000).toBe(true);

      await backup.restore(...flags);
      const keys = (): Promise<string[]> => bob.client.getAll().prefix(`election/${name}/`).keys();
      await poll(async () => (await keys()).length, (ttlSeconds * 1_000) / 3 + NOISE_MS).toBe(1);
      expect(alice.told('session.lost')).toEqual([]);
      expect(alice.told('etcd.history-lost')).toHaveLength(flags.length > 0 ? 0 : 1);
      await poll(() => bob.leads, NOISE_MS).toBe(true);
      expect(side.status.term?.isCurrent()).toBe(true);
    },
  );

  test('L2: restored keys of candidates that have left delay the next leader by one TTL', async () => {
    await using etcd = await start();
    const name = freshName();
    await using gone = await replica(etcd, name, 'gone');
    await using alice = await replica(etcd, name, 'alice');
    gone.stand();
    await queued(gone, 1);
    await using backup = await Backup.take(etcd);
    await age(gone);
    await gone.election.close();
    alice.stand();
    await queued(alice, 1);

    await backup.restore();
    const sinceMs = nowMs();
    await poll(() => alice.terms.length, TTL_MS + BACK_WITHIN_MS + NOISE_MS).toBe(2);
    expect(alice.told('etcd.history-lost')).toHaveLength(1);
    expect(nowMs() - sinceMs).toBeLessThan(TTL_MS + BACK_WITHIN_MS + NOISE_MS);
  });

  test('L5: with user logins, a login token from before the restore is dropped without a refusal', async () => {
    await using etcd = await start(3);
    const name = freshName();
    await setUpAuth(etcd, ['alice', 'bob'], ['election/', 'age']);
    const loggedIn = (value: string): Promise<Replica> =>
      Replica.start({
        endpoints: etcd.endpoints,
        election: name,
        value,
        options: { ttlSeconds: TTL_S },
        client: { auth: userOf(value) },
      });
    await using backup = await Backup.take(etcd, ROOT);
    await using alice = await loggedIn('alice');
    await using bob = await loggedIn('bob');
    // A simple token is valid from its position in the raft log. Here that is far beyond the end of the restored log.
    await age(alice, 300);
    alice.stand();
    await queued(alice, 1);
    bob.stand();
    await queued(bob, 2);

    await backup.restore();
    const isBack = (): boolean =>
      [alice, bob].some((one) => one.leads && one.told('etcd.history-lost').length > 0);
    // First one call gets no answer.
    await poll(isBack, CALL_LIMIT_MS + BACK_WITHIN_MS + NOISE_MS).toBe(true);
  });

  test('S1: with a raised revision no token repeats, and the log has no warning', async ({ skip }) => {
    if (!(await canBumpRevision())) return skip('the etcd at hand restores without --bump-revision');
    await using etcd = await start();
    const name = freshName();
    await using alice = await replica(etcd, name, 'alice');
    await using backup = await Backup.take(etcd);
    await age(alice);
    alice.stand();
    await queued(alice, 1);
    const before = alice.terms[0]!.fencingToken;

    await backup.restore('--bump-revision', '1000000', '--mark-compacted');
    await poll(() => alice.terms.length, BACK_WITHIN_MS + NOISE_MS).toBe(2);
    expect(alice.terms[1]!.fencingToken).toBeGreaterThan(before);
    expect(alice.told('etcd.history-lost')).toEqual([]);
  });
});
