import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { HostChoice, SILENT_AFTER_MS } from '../../src/etcd/host-choice.ts';
import { clock } from '../../src/time.ts';

const HOSTS = ['a', 'b', 'c'];
let nowMs = 0;

beforeEach(() => {
  nowMs = 1_000_000;
  vi.spyOn(clock, 'now').mockImplementation(() => nowMs);
});
afterEach(() => void vi.restoreAllMocks());

const refused = { code: 14, details: 'No connection established. Last error: connect ECONNREFUSED' };
const dropped = { code: 14, details: 'read ECONNRESET' };

/** Whom a hundred calls go to, where each pick is by chance, as etcd3's. */
async function chosen(hosts: HostChoice): Promise<string[]> {
  const asked = new Set<string>();
  for (let call = 0; call < 100; call++) {
    asked.add(
      await hosts.choose((steer) => {
        const host = HOSTS[Math.floor(Math.random() * HOSTS.length)]!;
        steer(host);
        return Promise.resolve(host);
      }),
    );
  }
  return [...asked].sort();
}

test('all hosts are asked, as chance has it', async () => {
  expect(await chosen(new HostChoice(3))).toEqual(HOSTS);
});

test('a suspect is passed over for 15 s, or until it answers', async () => {
  const hosts = new HostChoice(3);
  hosts.suspect('a');
  hosts.suspect('b');
  expect(await chosen(hosts)).toEqual(['c']);
  hosts.answered('b');
  expect(await chosen(hosts)).toEqual(['b', 'c']);
  nowMs += 15_000;
  expect(await chosen(hosts)).toEqual(HOSTS);
});

test('where all are suspects, the one that has been one for longest is asked: tries go round', async () => {
  const hosts = new HostChoice(3);
  for (const host of ['b', 'c', 'a']) {
    hosts.suspect(host);
    nowMs++;
  }
  expect(await chosen(hosts)).toEqual(['b']);
  hosts.suspect('b');
  expect(await chosen(hosts)).toEqual(['c']);
});

test('one that only dropped a connection is dialled before those that could not be reached', async () => {
  const hosts = new HostChoice(3);
  hosts.ended('a', refused);
  nowMs += 500;
  hosts.ended('b', refused);
  nowMs += 500;
  hosts.ended('c', dropped);
  expect(await chosen(hosts)).toEqual(['c']);
  hosts.ended('c', refused); // it was no accident
  expect(await chosen(hosts)).toEqual(['a']);
});

test('one that renewed a lease meanwhile is asked first where all are suspects, and only there', async () => {
  const hosts = new HostChoice(3);
  hosts.suspect('a'); // frozen
  nowMs += 500;
  hosts.suspect('b'); // it had no leader for a while
  hosts.renewed('b');
  hosts.renewed('c'); // nothing is held against it
  expect(await chosen(hosts)).toEqual(['c']);
  nowMs += 500;
  hosts.suspect('c');
  expect(await chosen(hosts)).toEqual(['b']);
  hosts.suspect('b'); // and yet it did not answer the next call
  expect(await chosen(hosts)).toEqual(['a']);
});

test('one that has no leader could not be reached, for what we need', async () => {
  const hosts = new HostChoice(3);
  hosts.ended('a', dropped);
  hosts.ended('b', { code: 14, details: 'etcdserver: no leader' });
  hosts.ended('c', { code: 14, details: 'etcdserver: no leader' });
  expect(await chosen(hosts)).toEqual(['a']);
});

test('an answer that is an error says nothing against its host', async () => {
  const hosts = new HostChoice(3);
  hosts.ended('a', { code: 7, details: 'permission denied' });
  expect(await chosen(hosts)).toEqual(HOSTS);
});

test('a host that answers others is slow, not silent', () => {
  const hosts = new HostChoice(3);
  expect(hosts.patienceMs('a')).toBe(0);
  hosts.answered('a');
  expect(hosts.patienceMs('a')).toBe(SILENT_AFTER_MS);
  nowMs += 400;
  expect(hosts.patienceMs('a')).toBe(SILENT_AFTER_MS - 400);
  nowMs += 400;
  expect(hosts.patienceMs('a')).toBe(0);
});

test('the only host is asked, whatever is held against it', async () => {
  const only = new HostChoice(1);
  only.suspect('a');
  expect(await chosen(only)).toEqual(HOSTS);
});

test('what the attempt itself fails with is not tried again', async () => {
  const attempt = vi.fn(() => Promise.reject(new Error('no answer')));
  await expect(new HostChoice(3).choose(attempt)).rejects.toThrow('no answer');
  expect(attempt).toHaveBeenCalledTimes(1);
});
