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

/** The hosts of a hundred calls. */
function chosen(hosts: HostSelector<string>, wishes?: Wishes<string>): string[] {
  const asked = new Set(Array.from({ length: 100 }, () => hosts.pick(wishes)!));
  return [...asked].sort();
}

test('hosts are selected at random', () => {
  expect(chosen(choiceOf(HOSTS))).toEqual(HOSTS);
});

test('a suspect host is skipped until it answers', () => {
  const hosts = choiceOf(HOSTS);
  hosts.suspect('a', 'no answer');
  hosts.suspect('b', 'no answer');
  expect(chosen(hosts)).toEqual(['c']);
  hosts.answered('b');
  expect(chosen(hosts)).toEqual(['b', 'c']);
  nowMs += 60_000;
  expect(chosen(hosts)).toEqual(['b', 'c']);
});

test("a host's absence is reported once, and so is its return", () => {
  told.length = 0;
  const hosts = choiceOf(HOSTS);
  hosts.failed('a', refused);
  nowMs += 500;
  hosts.suspect('a', 'no answer');
  nowMs += 500;
  hosts.answered('a');
  hosts.answered('a');
  expect(told).toEqual(['a away: connect ECONNREFUSED', 'a back after 1000 ms']);
});

test('the cause of a suspect is its last failure that says anything', () => {
  const hosts = choiceOf(HOSTS);
  expect(hosts.causeOf('a')).toBeUndefined();
  hosts.suspect('a', 'no answer');
  hosts.failed('a', refused);
  expect(hosts.causeOf('a')).toBe('connect ECONNREFUSED');
  for (const details of [
    'Channel closed before call started',
    'No connection established. Last error: null. Resolution note: ',
  ])
    hosts.failed('a', { code: 14, details });
  expect(hosts.causeOf('a')).toBe('connect ECONNREFUSED');
  hosts.answered('a');
  expect(hosts.causeOf('a')).toBeUndefined();
});

test('if all are suspect, the oldest suspect is selected, so that tries rotate', () => {
  const hosts = choiceOf(HOSTS);
  for (const host of ['b', 'c', 'a']) {
    hosts.suspect(host, 'no answer');
    nowMs++;
  }
  expect(chosen(hosts)).toEqual(['b']);
  hosts.suspect('b', 'no answer');
  expect(chosen(hosts)).toEqual(['c']);
});

test('a host that dropped a connection is dialled before unreachable ones', () => {
  const hosts = choiceOf(HOSTS);
  hosts.failed('a', refused);
  nowMs += 500;
  hosts.failed('b', refused);
  nowMs += 500;
  hosts.failed('c', dropped);
  expect(chosen(hosts)).toEqual(['c']);
  hosts.failed('c', refused); // it was refused too
  expect(chosen(hosts)).toEqual(['a']);
});

test('among suspect hosts, one that has renewed a lease since is selected first; one that is not suspect comes before it', () => {
  const hosts = choiceOf(HOSTS);
  hosts.suspect('a', 'no answer'); // frozen
  nowMs += 500;
  hosts.suspect('b', 'no answer'); // it had no leader for a while
  hosts.renewed('b');
  hosts.renewed('c'); // it is not suspect
  expect(chosen(hosts)).toEqual(['c']);
  nowMs += 500;
  hosts.suspect('c', 'no answer');
  expect(chosen(hosts)).toEqual(['b']);
  hosts.suspect('b', 'no answer'); // but it did not answer the next call
  expect(chosen(hosts)).toEqual(['a']);
});

test('a host without a leader counts as unreachable', () => {
  const hosts = choiceOf(HOSTS);
  hosts.failed('a', dropped);
  hosts.failed('b', { code: 14, details: 'etcdserver: no leader' });
  hosts.failed('c', { code: 14, details: 'etcdserver: no leader' });
  expect(chosen(hosts)).toEqual(['a']);
});

test('an error of etcd itself does not make its host suspect', () => {
  const hosts = choiceOf(HOSTS);
  hosts.failed('a', { code: 7, details: 'etcdserver: permission denied' });
  expect(chosen(hosts)).toEqual(HOSTS);
});

test('a host that answers other calls is slow, not silent', () => {
  const hosts = choiceOf(HOSTS);
  expect(hosts.patienceMs('a')).toBe(0);
  hosts.answered('a');
  expect(hosts.patienceMs('a')).toBe(SILENT_AFTER_MS);
  nowMs += 400;
  expect(hosts.patienceMs('a')).toBe(SILENT_AFTER_MS - 400);
  nowMs += 400;
  expect(hosts.patienceMs('a')).toBe(0);
});

test('an only host is selected even if it is suspect', () => {
  const only = choiceOf(['a']);
  only.suspect('a', 'no answer');
  expect(chosen(only)).toEqual(['a']);
});

test('a host to avoid is skipped only while another one is not suspect', () => {
  const hosts = choiceOf(HOSTS);
  expect(chosen(hosts, { avoid: 'a' })).toEqual(['b', 'c']);
  hosts.suspect('b', 'no answer');
  expect(chosen(hosts, { avoid: 'a' })).toEqual(['c']);
  hosts.suspect('c', 'no answer');
  expect(chosen(hosts, { avoid: 'a' })).toEqual(['a']);
});

test('a learner, and a host behind a gateway that answers for it, are skipped', () => {
  const hosts = choiceOf(HOSTS);
  hosts.failed('a', { code: 14, details: 'etcdserver: rpc not supported for learner' });
  hosts.failed('b', { code: 12, details: 'Received HTTP status code 404' });
  expect(chosen(hosts)).toEqual(['c']);
});

test('an excluded host is never selected', () => {
  const hosts = choiceOf(HOSTS);
  expect(chosen(hosts, { except: new Set(['a', 'b']) })).toEqual(['c']);
  hosts.suspect('c', 'no answer');
  expect(chosen(hosts, { except: new Set(['a', 'b']) })).toEqual(['c']);
  expect(hosts.pick({ except: new Set(HOSTS) })).toBeUndefined();
});
