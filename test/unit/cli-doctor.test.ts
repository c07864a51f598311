import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Connection } from '../../src/cli/arguments.ts';
import {
  disagreeOnLeader,
  judgeAlarms,
  judgeCluster,
  judgeLease,
  judgePermissions,
  judgeProxy,
  nameAbsentLeader,
} from '../../src/cli/doctor/doctor-checks.ts';
import type { MemberReading } from '../../src/cli/doctor/doctor-findings.ts';
import { judgeMember, judgeVersions } from '../../src/cli/doctor/doctor-members.ts';
import {
  defectsOf,
  DEFECTS,
  RELEASE_LINES,
  upgradeWithinLine,
  type Affected,
} from '../../src/cli/doctor/etcd-defects.ts';
import { readMembers } from '../../src/cli/doctor/doctor-probe.ts';
import { failureOf, type Failure } from '../../src/cli/plain-error.ts';

describe('doctor', () => {
  const well = {
    version: '3.5.16',
    roundTripMs: 1,
    clusterId: '5',
    memberId: '1',
    membersBehind: 1,
    leaderId: '1',
    isLearner: false,
    databaseBytes: 1e6,
    errors: [],
  };
  const reading = (change: object, clockAheadMs = 0): MemberReading => ({
    endpoint: 'http://a:1',
    reached: { ...well, ...change },
    clockAheadMs,
  });
  const verdicts = (findings: readonly { verdict: string }[]): string[] =>
    findings.map(({ verdict }) => verdict);

  test.for([
    [reading({}), ['good']],
    [reading({ leaderId: '0' }), ['bad']],
    [reading({ isLearner: true }), ['good', 'warning']],
    [reading({ membersBehind: 3 }), ['good', 'warning']],
    [reading({}, 90_000), ['good', 'warning']],
    [reading({}, -1_500), ['good']],
    [reading({ databaseBytes: 1.9e9 }), ['good', 'warning']],
    [
      { endpoint: 'http://a:1', reached: { failure: 'unreachable', error: 'gone' }, clockAheadMs: undefined },
      ['bad'],
    ],
  ] as const)('a member: case %#', ([member, expected]) => {
    expect(verdicts(judgeMember(member))).toEqual(expected);
  });

  test('members that disagree on the leader are read again until they agree', async () => {
    const names: Record<string, string[]> = { 'http://a:1': ['1', '1', '2'], 'http://b:1': ['2', '2', '2'] };
    const endpoints = Object.keys(names);
    const readings = await readMembers({ endpoints } as unknown as Connection, (_, endpoint) =>
      Promise.resolve({ ...reading({ leaderId: names[endpoint]!.shift() }), endpoint }),
    );
    expect(readings.map(({ reached }) => reached)).toMatchObject([{ leaderId: '2' }, { leaderId: '2' }]);
    expect(verdicts(judgeCluster(readings, 3))).toEqual(['good']);
  });

  test('members that name a leader that is gone are read again until they name another one', async () => {
    const names: Record<string, string[]> = { 'http://a:1': ['9', '9', '1'], 'http://b:1': ['9', '1', '1'] };
    const endpoints = [...Object.keys(names), 'http://gone:1'];
    const readings = await readMembers({ endpoints } as unknown as Connection, (_, endpoint) => {
      const leaderId = names[endpoint]?.shift();
      const gone = { failure: 'unreachable', error: 'connect ECONNREFUSED' } as const;
      const { reached } = reading({ leaderId, memberId: endpoint === 'http://a:1' ? '1' : '2' });
      return Promise.resolve({ endpoint, reached: leaderId === undefined ? gone : reached, clockAheadMs: 0 });
    });
    expect(readings.map(({ reached }) => reached)).toMatchObject([
      { leaderId: '1' },
      { leaderId: '1' },
      { failure: 'unreachable' },
    ]);
  });

  test('a leader that is not listed counts as present, if every listed member answers', () => {
    const gone = { endpoint: 'http://b:1', clockAheadMs: undefined } as const;
    const away = { ...gone, reached: { failure: 'silent', error: 'no answer within 1 s' } } as const;
    expect(nameAbsentLeader([reading({ leaderId: '9' })])).toBe(false);
    expect(nameAbsentLeader([reading({ leaderId: '9' }), away])).toBe(true);
    expect(nameAbsentLeader([reading({ leaderId: '1' }), away])).toBe(false);
    expect(nameAbsentLeader([reading({ leaderId: '0' }), away])).toBe(false);
  });

  test('a member that knows no leader, or is of another cluster, does not disagree', () => {
    expect(disagreeOnLeader([reading({}), reading({ leaderId: '0' })])).toBe(false);
    expect(disagreeOnLeader([reading({}), reading({ clusterId: '6', leaderId: '2' })])).toBe(false);
    expect(disagreeOnLeader([reading({}), reading({ leaderId: '2' })])).toBe(true);
  });

  test.for([
    ['3.4.19', '#20418', false],
    ['3.4.20', '#20418', true],
    ['3.4.23', '#20418', true],
    ['3.4.41', '#20418', true],
    ['3.4.42', '#20418', false],
    ['3.5.0', '#20418', true],
    ['3.5.27', '#20418', true],
    ['3.5.28', '#20418', false],
    ['3.6.8', '#20418', true],
    ['3.6.9', '#20418', false],
    ['3.7.0', '#20418', false],
    ['3.5.2', '#13766', true],
    ['3.5.3', '#13766', false],
    ['3.4.30', '#15247', true],
    ['3.4.31', '#15247', false],
    ['3.5.12', '#15247', true],
    ['3.5.13', '#15247', false],
    ['3.6.0', '#15247', false],
    ['3.4.21', '#14995', false],
    ['3.4.24', '#14995', true],
    ['3.4.25', '#14995', false],
    ['3.4.24', '#17507', false],
    ['3.4.25', '#17507', true],
    ['3.5.1', '#13508', true],
    ['3.5.2', '#13508', false],
    ['3.7.0', 'GHSA-xg4h-6gfc-h4m8', true],
    ['3.7.1', 'GHSA-xg4h-6gfc-h4m8', false],
    ['3.4.19', '#22214', false],
    ['3.4.20', '#22214', true],
    ['3.7.1', '#22214', true],
    ['3.8.0', 'GHSA-xg4h-6gfc-h4m8', false],
  ] as const)('etcd %s has %s: %s', ([version, id, has]) => {
    expect(defectsOf(version).some(({ defect }) => defect.id === id)).toBe(has);
  });

  test('advises the release that fixes all defects of its line, and never one with a defect', () => {
    expect(upgradeWithinLine('3.4.16')).toBe('3.4.42');
    expect(upgradeWithinLine('3.4.23')).toBe('3.4.42');
    expect(upgradeWithinLine('3.5.16')).toBe('3.5.33');
    expect(upgradeWithinLine('3.5.33')).toBeUndefined();
    expect(upgradeWithinLine('3.6.4')).toBe('3.6.14');
    for (const { line } of RELEASE_LINES)
      for (let patch = 0; patch < 50; patch++) {
        const to = upgradeWithinLine(`${line}.${patch}`);
        if (to === undefined) continue;
        expect(Number(to.split('.')[2])).toBeGreaterThan(patch);
        expect(upgradeWithinLine(to)).toBeUndefined();
      }
  });

  test('the advice about a version', () => {
    const advice = (version: string) =>
      judgeVersions([reading({ version })]).map(({ verdict, found, advice: what }) => [
        verdict,
        `${found}: ${what}`,
      ]);
    expect(advice('3.3.27')).toEqual([['warning', expect.stringContaining('3.4 to 3.7')]]);
    expect(advice('3.4.45')).toEqual([
      ['warning', expect.stringContaining('end of life in June 2026')],
      ['warning', expect.stringMatching(/^1 known defect .*only a later line fixes GHSA-xg4h/)],
    ]);
    expect(advice('3.4.23')[1]![1]).toMatch(/upgrade to 3\.4\.42 or later; only a later line/);
    expect(advice('3.5.1')).toEqual([['bad', expect.stringContaining('upgrade to 3.5.33')]]);
    expect(advice('3.5.33')).toEqual([]);
    // No advice for a defect that no release fixes.
    for (const version of ['3.6.14', '3.7.1']) expect(advice(version)).toEqual([]);
    expect(advice('3.6.4')).toEqual([['warning', expect.stringContaining('upgrade to 3.6.14')]]);
    expect(advice('3.7.0')).toEqual([['warning', expect.stringContaining('upgrade to 3.7.1')]]);
    expect(advice('3.8.0')).toEqual([
      ['warning', expect.stringMatching(/^is not tested: .* 3\.4 to 3\.7; try your service/)],
    ]);
  });

  test('docs/operating-etcd.md has the same table', () => {
    const page = readFileSync(new URL('../../docs/operating-etcd.md', import.meta.url), 'utf8');
    const rows = [...page.matchAll(/^\| \[(\S+)\]\((\S+)\) +\| (.+?) +\| (.+?) +\|$/gm)];
    const range = ({ line, from, fixed }: Affected): string =>
      fixed === undefined ? `${line}.${from} on: not fixed` : `${line}.${from} to ${line}.${fixed - 1}`;
    expect(rows.map(([, id, url, symptom, affected]) => [id, url, symptom, affected])).toEqual(
      DEFECTS.map(({ id, url, symptom, affected }) => [id, url, symptom, affected.map(range).join(', ')]),
    );
    for (const { line, last = '', end = '' } of RELEASE_LINES) {
      const row = new RegExp(`^\\| ${line} .*$`, 'm').exec(page)?.[0];
      expect(row).toContain(last);
      expect(row).toContain(end);
    }
  });

  test('an unreachable member is a warning while there is a quorum; a time-out is no lack of permissions', () => {
    const away = (failure: Failure): MemberReading => ({
      endpoint: 'http://b:1',
      reached: { failure, error: 'Deadline exceeded' },
      clockAheadMs: undefined,
    });
    for (const failure of ['silent', 'unreachable'] as const) {
      expect(verdicts(judgeMember(away(failure), false))).toEqual(['warning']);
      expect(verdicts(judgeMember(away(failure), true))).toEqual(['bad']);
    }
    const failed = new Map([['put', 'no answer within 5000 ms'] as const]);
    expect(JSON.stringify(judgePermissions('election/', failed))).not.toMatch(/grant-permission|may not/);
    expect(verdicts(judgePermissions('election/', failed))).toEqual(['bad']);
  });

  test.for([
    [2, '2 members survive no more losses than a cluster of 1: use an odd number'],
    [4, '4 members survive no more losses than a cluster of 3: use an odd number'],
  ] as const)('a cluster of %d members: the advice', ([size, advice]) => {
    expect(judgeCluster([reading({}), reading({})], size)[0]).toMatchObject({ verdict: 'warning', advice });
  });

  test("etcd's address for HTTP only is not a client URL", () => {
    const judged = (error: string, httpVersion?: string): unknown =>
      judgeMember({
        endpoint: 'http://a:1',
        reached: { failure: 'unreachable', error },
        httpVersion,
        clockAheadMs: undefined,
      })[0]!.advice;
    expect(judged('Failed to connect', '3.7.1')).toContain('list one of --listen-client-urls');
    expect(judged('Failed to connect')).not.toContain('--listen-client-urls');
    expect(judged('connect ECONNREFUSED', '3.7.1')).not.toContain('--listen-client-urls');
  });

  test('a member with an alarm answers, so it does not count as unreachable', () => {
    const error = 'etcdserver: corrupt cluster';
    const reached = { failure: failureOf(error), error };
    const [finding] = judgeMember({ endpoint: 'http://a:1', reached, clockAheadMs: 0 }, false);
    expect(finding).toMatchObject({
      verdict: 'bad',
      found: 'answers, but refuses: etcdserver: corrupt cluster',
      advice: expect.stringContaining('etcdctl alarm list'),
    });
  });

  test('a member of another cluster and a grpc-proxy are reported', () => {
    expect(judgeCluster([reading({}), reading({ clusterId: '6', leaderId: '2' })], 1)[0]).toMatchObject({
      verdict: 'bad',
      found: expect.stringContaining('2 different clusters'),
    });
    expect(verdicts(judgeProxy(false, 4))).toEqual(['bad']);
    expect(verdicts(judgeProxy(false, 5))).toEqual(['warning']);
    expect(judgeProxy(true, 4)).toEqual([]);
    expect(judgeProxy(undefined, 4)).toEqual([]);
  });

  test.for([
    ['etcdserver: authentication failed, invalid user ID or password', 'authentication'],
    ['etcdserver: user name is empty', 'authentication'],
    ['etcdserver: permission denied', 'permission'],
    ['etcdserver: mvcc: database space exceeded', 'alarm'],
    ['Protocol error', 'not-etcd'],
    ['Received HTTP status code 404', 'not-etcd'],
    ['self-signed certificate in certificate chain', 'tls'],
    ['no answer within 5 s', 'silent'],
    ['connect ECONNREFUSED 127.0.0.1:1', 'unreachable'],
  ] as const)('%s: %s', ([error, failure]) => {
    expect(failureOf(error)).toBe(failure);
  });

  test('the cluster, its alarms, its leases and our permissions are judged', () => {
    expect(verdicts(judgeCluster([reading({})], 1))).toEqual(['warning']);
    expect(verdicts(judgeCluster([reading({})], 3))).toEqual(['good', 'warning']);
    expect(verdicts(judgeCluster([reading({}), reading({ leaderId: '2' })], 2))).toEqual(['bad', 'warning']);
    expect(verdicts(judgeAlarms([]))).toEqual(['good']);
    expect(judgeAlarms(['Nospace'])[0]).toMatchObject({
      verdict: 'bad',
      advice: expect.stringContaining('disarm'),
    });
    expect(verdicts(judgeLease(10, { grantedSeconds: 10, renewedInMs: 3 }))).toEqual(['good']);
    expect(verdicts(judgeLease(1, { grantedSeconds: 2, renewedInMs: 3 }))).toEqual(['warning']);
    expect(verdicts(judgeLease(10, { grantedSeconds: 10, renewedInMs: 2_600 }))).toEqual(['bad']);
    expect(judgePermissions('election/', new Map([['put', 'permission denied']]))).toEqual([
      expect.objectContaining({ verdict: 'bad', advice: expect.stringContaining('election/') }),
    ]);
    expect(judgePermissions('', new Map([['put', 'permission denied']]))).toEqual([
      expect.objectContaining({ advice: expect.stringMatching(/readwrite ""$/) }),
    ]);
  });
});
