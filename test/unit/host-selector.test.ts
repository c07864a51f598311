import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { HostSelector, SILENT_AFTER_MS, type Wishes } from '../../src/etcd/host-selector.ts';
import { clock } from '../../src/util/clock.ts';

const HOSTS = ['a', 'b', 'c'];
let nowMs = 0;

beforeEach(() => {
  nowMs = 1_000_000;
  vi.spyOn(clock, 'now').mockImplementation(() => nowMs);
});
afterEach(() => void vi.restoreAllMocks());

const refused = { code: 14, details: 'No connection established. Last error: connect ECONNREFUSED' };
const dropped = { code: 14, details: 'read ECONNRESET' };

const told: string[] = [];
const choiceOf = (hosts: readonly string[]): HostSelector<string> =>
  new HostSelector(hosts, {
    away: (host, reason) => told.push(`${host} away: ${reason}`),
    back: (host, afterMs) => told.push(`${host} back after ${afterMs} ms`),
  });

/** Which hosts a hundred calls go to. */
function chosen(hosts: HostSelector<string>, wishes?: Wishes<string>): string[] {
  const asked = new Set(Array.from({ length: 100 }, () => hosts.pick(wishes)!));
  return [...asked].sort();
}

test('all hosts are asked, as chance has it', () => {
  expect(chosen(choiceOf(HOSTS))).toEqual(HOSTS);
});

test('a suspect is passed over until it answers', () => {
  const hosts = choiceOf(HOSTS);
  hosts.suspect('a', 'no answer');
  hosts.suspect('b', 'no answer');
  expect(chosen(hosts)).toEqual(['c']);
  hosts.answered('b');
  expect(chosen(hosts)).toEqual(['b', 'c']);
  nowMs += 60_000;
  expect(chosen(hosts)).toEqual(['b', 'c']);
});

test('it is told once when a host goes, and once when it is back', () => {
  told.length = 0;
  const hosts = choiceOf(HOSTS);
  hosts.ended('a', refused);
  nowMs += 500;
  hosts.suspect('a', 'no answer');
  nowMs += 500;
  hosts.answered('a');
  hosts.answered('a');
  expect(told).toEqual(['a away: connect ECONNREFUSED', 'a back after 1000 ms']);
});

test('where all are suspects, the one that has been one for longest is asked: tries go round', () => {
  const hosts = choiceOf(HOSTS);
  for (const host of ['b', 'c', 'a']) {
    hosts.suspect(host, 'no answer');
    nowMs++;
  }
  expect(chosen(hosts)).toEqual(['b']);
  hosts.suspect('b', 'no answer');
  expect(chosen(hosts)).toEqual(['c']);
});

test('one that only dropped a connection is dialled before those that could not be reached', () => {
  const hosts = choiceOf(HOSTS);
  hosts.ended('a', refused);
  nowMs += 500;
  hosts.ended('b', refused);
  nowMs += 500;
  hosts.ended('c', dropped);
  expect(chosen(hosts)).toEqual(['c']);
  hosts.ended('c', refused); // it was no accident
  expect(chosen(hosts)).toEqual(['a']);
});

test('one that renewed a lease meanwhile is asked first where all are suspects, and only there', () => {
  const hosts = choiceOf(HOSTS);
  hosts.suspect('a', 'no answer'); // frozen
  nowMs += 500;
  hosts.suspect('b', 'no answer'); // it had no leader for a while
  hosts.renewed('b');
  hosts.renewed('c'); // nothing is held against it
  expect(chosen(hosts)).toEqual(['c']);
  nowMs += 500;
  hosts.suspect('c', 'no answer');
  expect(chosen(hosts)).toEqual(['b']);
  hosts.suspect('b', 'no answer'); // and yet it did not answer the next call
  expect(chosen(hosts)).toEqual(['a']);
});

test('one that has no leader could not be reached, for what we need', () => {
  const hosts = choiceOf(HOSTS);
  hosts.ended('a', dropped);
  hosts.ended('b', { code: 14, details: 'etcdserver: no leader' });
  hosts.ended('c', { code: 14, details: 'etcdserver: no leader' });
  expect(chosen(hosts)).toEqual(['a']);
});

test('an error of etcd itself says nothing against its host', () => {
  const hosts = choiceOf(HOSTS);
  hosts.ended('a', { code: 7, details: 'etcdserver: permission denied' });
  expect(chosen(hosts)).toEqual(HOSTS);
});

test('a host that answers others is slow, not silent', () => {
  const hosts = choiceOf(HOSTS);
  expect(hosts.patienceMs('a')).toBe(0);
  hosts.answered('a');
  expect(hosts.patienceMs('a')).toBe(SILENT_AFTER_MS);
  nowMs += 400;
  expect(hosts.patienceMs('a')).toBe(SILENT_AFTER_MS - 400);
  nowMs += 400;
  expect(hosts.patienceMs('a')).toBe(0);
});

test('the only host is asked, whatever is held against it', () => {
  const only = choiceOf(['a']);
  only.suspect('a', 'no answer');
  expect(chosen(only)).toEqual(['a']);
});

test('a host to avoid is passed over only while another one is above suspicion', () => {
  const hosts = choiceOf(HOSTS);
  expect(chosen(hosts, { avoid: 'a' })).toEqual(['b', 'c']);
  hosts.suspect('b', 'no answer');
  expect(chosen(hosts, { avoid: 'a' })).toEqual(['c']);
  hosts.suspect('c', 'no answer');
  expect(chosen(hosts, { avoid: 'a' })).toEqual(['a']);
});

test('a learner, and a host behind a gateway that answers instead of it, are passed over', () => {
  const hosts = choiceOf(HOSTS);
  hosts.ended('a', { code: 14, details: 'etcdserver: rpc not supported for learner' });
  hosts.ended('b', { code: 12, details: 'Received HTTP status code 404' });
  expect(chosen(hosts)).toEqual(['c']);
});

test('a host that is excepted is never asked', () => {
  const hosts = choiceOf(HOSTS);
  expect(chosen(hosts, { except: new Set(['a', 'b']) })).toEqual(['c']);
  hosts.suspect('c', 'no answer');
  expect(chosen(hosts, { except: new Set(['a', 'b']) })).toEqual(['c']);
  expect(hosts.pick({ except: new Set(HOSTS) })).toBeUndefined();
});
