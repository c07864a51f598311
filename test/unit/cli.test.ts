import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseCommand, oneName, UsageError } from '../../src/cli/arguments.ts';
import {
  judgeAlarms,
  judgeCluster,
  judgeLease,
  judgePermissions,
  judgeProxy,
} from '../../src/cli/doctor-checks.ts';
import type { MemberReading } from '../../src/cli/doctor-findings.ts';
import { judgeMember, judgeVersions } from '../../src/cli/doctor-members.ts';
import {
  defectsOf,
  DEFECTS,
  RELEASE_LINES,
  upgradeWithinLine,
  type Affected,
} from '../../src/cli/etcd-defects.ts';
import { explain, failureOf, type Failure } from '../../src/cli/plain-error.ts';
import { graceMs, parseRun } from '../../src/cli/run-options.ts';
import { queuesOf } from '../../src/cli/candidates.ts';
import { documentOf, textOf, type StatusView } from '../../src/cli/status.ts';
import { paletteFor, printable, table, wrapped } from '../../src/cli/terminal.ts';
import { lineOf } from '../../src/cli/watch.ts';

const plain = paletteFor({ isTTY: false }, {});

describe('the connection, as etcdctl has it', () => {
  const connection = (args: string[], env = {}) => parseCommand(args, env).connection;

  test('from the environment, and flags win', () => {
    const env = { ETCDCTL_ENDPOINTS: 'a:2379,http://b:2379/', ETCDCTL_USER: 'root:p:w' };
    expect(connection([], env)).toMatchObject({
      endpoints: ['http://a:2379', 'http://b:2379'],
      user: { name: 'root', password: 'p:w' },
      timeoutMs: 5_000,
    });
    expect(connection(['--endpoints', 'c:1', '--user=me', '--password=x:y'], env)).toMatchObject({
      endpoints: ['http://c:1'],
      user: { name: 'me', password: 'x:y' },
    });
    expect(connection([], {}).endpoints).toEqual(['http://127.0.0.1:2379']);
  });

  test('a certificate makes it https', () => {
    expect(connection([], { ETCDCTL_CACERT: '/ca.pem', ETCDCTL_ENDPOINTS: 'a:1' })).toMatchObject({
      endpoints: ['https://a:1'],
      cacert: '/ca.pem',
    });
  });

  test.for([
    ['--cert=c'],
    ['--cert=c', '--key=k'],
    ['--endpoints', 'http://a/path'],
    ['--endpoints', 'http://a,https://b'],
    ['--endpoints', ','],
    ['--write-out', 'yaml'],
    ['--insecure-transport=perhaps'],
    ['--prefix', 'election'],
    ['--command-timeout', 'soon'],
    ['--typo'],
    ['--json=yes'],
  ])('%s is refused with a word on what is expected', (args) => {
    expect(() => parseCommand(args, {})).toThrow(UsageError);
  });

  test('what comes after -- is left alone', () => {
    const { words, rest } = parseCommand(['job', '--json', '--', 'cmd', '--json', '--', 'x'], {});
    expect({ words, rest }).toEqual({ words: ['job'], rest: ['cmd', '--json', '--', 'x'] });
  });

  test.for([[[]], [['a', 'b']], [['a/b']], [['']]])('NAME: %j is refused', ([words]) => {
    expect(() => oneName(words!)).toThrow(UsageError);
  });
});

describe('TLS and time, as etcdctl has them', () => {
  const connection = (args: string[], env = {}) => parseCommand(args, env).connection;

  test('--insecure-transport=false and --insecure-skip-tls-verify make it https', () => {
    for (const args of [['--insecure-transport=false'], ['--insecure-skip-tls-verify']])
      expect(connection([...args, '--endpoints', 'a:1']).endpoints).toEqual(['https://a:1']);
    expect(connection(['--insecure-transport', '--endpoints', 'a:1']).endpoints).toEqual(['http://a:1']);
    expect(connection([], { ETCDCTL_INSECURE_SKIP_TLS_VERIFY: 'true' }).insecureSkipVerify).toBe(true);
    expect(connection([], {}).insecureSkipVerify).toBe(false);
    expect(connection(['--insecure-skip-tls-verify', '--cert=c', '--key=k']).cacert).toBeUndefined();
  });

  test('ETCDCTL_COMMAND_TIMEOUT, -w json, and a user without a password', () => {
    expect(connection([], { ETCDCTL_COMMAND_TIMEOUT: '700ms' }).timeoutMs).toBe(700);
    expect(connection(['--command-timeout=2s'], { ETCDCTL_COMMAND_TIMEOUT: '700ms' }).timeoutMs).toBe(2_000);
    expect(parseCommand(['-w', 'json'], {}).json).toBe(true);
    expect(parseCommand(['--write-out=simple'], {}).json).toBe(false);
    expect(connection(['--user', 'me']).user).toEqual({ name: 'me', password: undefined });
  });
});

describe('run', () => {
  test('its defaults', () => {
    expect(parseRun(['job', '--', 'sleep', '1'], {})).toMatchObject({
      name: 'job',
      command: 'sleep',
      args: ['1'],
      ttlSeconds: 10,
      marginMs: 3_000,
      stopTimeoutMs: 10_000,
      once: false,
    });
  });

  test.for([
    [['job'], /after --/],
    [['job', '--'], /after --/],
    [['--', 'cmd'], /NAME/],
    [['job', '--ttl=0', '--', 'x'], /--ttl/],
    [['job', '--ttl=4', '--grace=2s', '--', 'x'], /--grace: .* less than half/],
    [['job', '--grace=10ms', '--', 'x'], /--grace/],
  ] as const)('%j is refused', ([args, message]) => {
    expect(() => parseRun(args, {})).toThrow(message);
  });

  test('S5: SIGKILL comes before etcd may give the seat away, the more so the later we noticed', () => {
    for (const marginMs of [50, 3_000, 40_000])
      for (const lateMs of [-20, 0, 10, marginMs, 2 * marginMs]) {
        const grace = graceMs(marginMs, lateMs);
        expect(grace).toBeGreaterThanOrEqual(0);
        // Either at once, or well before the margin is used up.
        if (grace > 0) expect(Math.max(0, lateMs) + grace).toBeLessThanOrEqual(0.8 * marginMs + 1e-6);
      }
  });
});

describe('status', () => {
  const kv = (key: string, revision: string, lease = '7') => ({
    key: Buffer.from(key),
    value: Buffer.from(`v${revision}`),
    create_revision: revision,
    lease,
  });
  const queues = queuesOf(
    [
      kv('election/a/1', '5'),
      kv('election/b/1', '6'),
      kv('election/a/2', '9', '0'),
      kv('election/a/2/deeper', '10'),
      kv('election/stray', '11'),
    ],
    'election/',
  );
  const leases = new Map([['7', { leftSeconds: 8, grantedSeconds: 10 }]]);
  const all: StatusView = { palette: plain, name: undefined, most: Infinity, columns: undefined };

  test('queues by election, oldest first; keys of another shape are none of ours', () => {
    expect(
      queues.map(({ election, candidates }) => [
        election,
        candidates.map(({ fencingToken }) => fencingToken),
      ]),
    ).toEqual([
      ['a', [5n, 9n]],
      ['b', [6n]],
    ]);
  });

  test('as text', () => {
    expect(String(textOf(queues, leases, all, 'election/'))).toBe(
      [
        'a',
        '* leads  v5  token 5  8 of 10 s left',
        '  2      v9  token 9  no lease: stays until it is evicted',
        '',
        'b',
        '* leads  v6  token 6  8 of 10 s left',
      ].join('\n'),
    );
    expect(String(textOf([], leases, { ...all, name: 'a' }, 'election/'))).toBe('a: nobody leads');
  });

  test('long values and queues are cut; a narrow terminal gets narrow values', () => {
    const many = Array.from({ length: 500 }, (_, index) => kv(`election/a/${index}`, String(index + 1)));
    const long = queuesOf(
      [...many, { ...kv('election/b/1', '600'), value: Buffer.from('x'.repeat(16_000)) }],
      'election/',
    );
    const lines = String(textOf(long, leases, { ...all, most: 10, columns: 40 }, 'election/')).split('\n');
    expect(lines[11]).toBe('  and 490 more: status a shows all');
    expect(lines.at(-1)).toMatch(/^\* leads {2}x{11}… {2}token 600/);
    expect(lines).toHaveLength(1 + 10 + 1 + 1 + 2);
    const [empty] = queuesOf([{ ...kv('election/a/1', '1'), value: Buffer.from('') }], 'election/');
    expect(String(textOf([empty!], leases, all, 'election/'))).toContain('(no value)');
  });

  test('keys of one transaction are in the order of their bytes', () => {
    const [queue] = queuesOf(
      [kv('election/a/2', '5'), kv('election/a/10', '5'), kv('election/a/1', '4')],
      'election/',
    );
    expect(queue!.candidates.map(({ key }) => key)).toEqual([
      'election/a/1',
      'election/a/10',
      'election/a/2',
    ]);
  });

  test('as JSON: tokens are strings', () => {
    expect(documentOf(queues[1]!, leases, { prefix: 'election/', clusterId: '1484' })).toMatchObject({
      prefix: 'election/',
      clusterId: '1484',
      election: 'b',
      leader: { position: 1, fencingToken: '6', ttlLeftSeconds: 8, ttlGrantedSeconds: 10 },
    });
  });
});

test('the help fits the terminal, and descriptions stay in their column', () => {
  const text = ['Usage: x', '', `  --flag NAME  ${'word '.repeat(30).trim()}`, `  ${'y'.repeat(90)}`].join(
    '\n',
  );
  for (const columns of [40, 80, 120]) {
    const lines = wrapped(text, columns).split('\n');
    expect(Math.max(...lines.slice(0, -1).map(({ length }) => length))).toBeLessThanOrEqual(columns);
    expect(lines[3]).toMatch(/^ {15}word/);
    expect(lines.join(' ').match(/word/g)).toHaveLength(30);
  }
});

describe('the terminal', () => {
  test('colours on a terminal only, and not against NO_COLOR', () => {
    expect(String(paletteFor({ isTTY: true }, {}).bad('x'))).toBe('\u001b[31mx\u001b[0m');
    expect(String(paletteFor({ isTTY: true }, { NO_COLOR: '1' }).bad('x'))).toBe('x');
    expect(String(paletteFor({ isTTY: true }, { TERM: 'dumb' }).bad('x'))).toBe('x');
    expect(String(plain.bad('x'))).toBe('x');
  });

  test('does not obey what a candidate announces', () => {
    expect(printable('a\u001b[2Jb\r\n')).toBe('a\\x1b[2Jb\\x0d\\x0a');
    expect(String(table([['\u001b]0;x\u0007', '1']]))).not.toContain('\u001b');
    const leader = { key: 'k', value: '\u001b[31m', fencingToken: 1n, leaseId: '1', isMe: false };
    expect(String(lineOf(leader, new Date(0), plain))).toBe(
      '1970-01-01T00:00:00.000Z  \\x1b[31m leads (token 1)',
    );
  });

  const asked = { endpoints: ['http://a:1', 'http://b:2'], user: undefined, prefix: 'election/' };
  const message = (raw: string, change = {}): string =>
    explain(new Error(raw), { ...asked, ...change })?.message ?? 'not explained';

  test.for([
    [
      '14 UNAVAILABLE: No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:1. Resolution note: ',
      /^cannot reach etcd at http:\/\/a:1, http:\/\/b:2: connect ECONNREFUSED 127.0.0.1:1 \(is etcd there\? See --endpoints and ETCDCTL_ENDPOINTS\)$/,
    ],
    [
      '14 UNAVAILABLE: Name resolution failed for target dns:no.such.host:2379',
      /^cannot reach etcd at .*: cannot resolve no\.such\.host:2379 \(is the host name right/,
    ],
    [
      '4 DEADLINE_EXCEEDED: Deadline exceeded after 1.984s,name resolution: 0.208s,metadata filters: 0.034s,Waiting for LB pick',
      /^etcd at .* does not answer: no answer within 2 s \(.*etcd-election doctor/,
    ],
    [
      '14 UNAVAILABLE: No connection established. Last error: Error: Protocol error.',
      /^the server at .* does not speak/,
    ],
    ['2 UNKNOWN: etcdserver: user name is empty', /^etcd at .* asks for a user: .*ETCDCTL_USER/],
    [
      '14 UNAVAILABLE: No connection established. Last error: Error: 40B7A5:error:0A00045C:SSL routines:ssl3_read_bytes:tlsv13 alert certificate required:../deps/openssl/ssl/record/rec_layer_s3.c:1605:SSL alert number 116 (2026-11-27T05:00:00.000Z). Resolution note: ',
      /^etcd at .* ends the TLS connection: TLS: alert certificate required \(.*--cert and --key/,
    ],
    ['error:0A000086:SSL routines::certificate verify failed', /TLS: certificate verify failed/],
    [
      'write EPROTO 0047:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../deps/openssl/ssl/record/ssl3_record.c:355:',
      /write EPROTO TLS: wrong version number \(does this etcd speak TLS/,
    ],
    ['14 UNAVAILABLE: No connection established. Last error: null. Resolution note:', /^cannot reach etcd/],
    [
      '8 RESOURCE_EXHAUSTED: etcdserver: mvcc: database space exceeded',
      /^etcd at .* is full: .*etcd-is-full/,
    ],
    ['14 UNAVAILABLE: etcdserver: request timed out', /cannot answer now: .*no quorum.*doctor/],
  ] as const)('an error says what happened, at which endpoints, and what to do: %s', ([raw, expected]) => {
    expect(message(raw)).toMatch(expected);
    expect(message(raw)).not.toMatch(
      /SSL routines|openssl|rec_layer|null|LB pick|Resolution|UNAVAILABLE|AT|PREFIX/,
    );
    expect(message(raw)).toContain('http://a:1, http://b:2');
  });

  test('a refusal names the user and the permission that it lacks', () => {
    expect(
      message('7 PERMISSION_DENIED: etcdserver: permission denied', { user: 'ro', prefix: 'p/' }),
    ).toMatch(
      /^etcd at .* refuses user "ro": etcdserver: permission denied \(.*grant-permission ROLE --prefix=true readwrite p\/;/,
    );
    expect(message('3 INVALID_ARGUMENT: etcdserver: authentication failed', { user: 'ro' })).toMatch(
      /does not accept user "ro".*ETCDCTL_PASSWORD/,
    );
  });

  test('what is no error of etcd stays as it is', () => {
    expect(explain(new TypeError('x is not a function'), asked)).toBeUndefined();
  });

  test.for(['Failed to connect', 'read ECONNRESET', 'write EPIPE'])(
    'an etcd that hangs up at once names all that it can be: %s',
    (said) => {
      const told = message(
        `14 UNAVAILABLE: No connection established. Last error: Error: ${said}. Resolution note: `,
      );
      expect(told).toMatch(/^cannot reach etcd/);
      expect(told).toMatch(
        /does this etcd speak TLS.*https:\/\/.*our client certificate.*ETCDCTL_CERT and ETCDCTL_KEY/,
      );
    },
  );
});

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
    ['3.8.0', 'GHSA-xg4h-6gfc-h4m8', false],
  ] as const)('etcd %s and %s: has it: %s', ([version, id, has]) => {
    expect(defectsOf(version).some(({ defect }) => defect.id === id)).toBe(has);
  });

  test('upgrade to the release that mends all that its line mends; never into a defect', () => {
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

  test('the advice on a version', () => {
    const advice = (version: string) =>
      judgeVersions([reading({ version })]).map(({ verdict, found, advice: what }) => [
        verdict,
        `${found}: ${what}`,
      ]);
    expect(advice('3.3.27')).toEqual([['warning', expect.stringContaining('3.4 and later')]]);
    expect(advice('3.4.45')).toEqual([
      ['warning', expect.stringContaining('end of life in June 2026')],
      ['warning', expect.stringMatching(/^1 known defect .*only a later line mends GHSA-xg4h/)],
    ]);
    expect(advice('3.4.23')[1]![1]).toMatch(/upgrade to 3\.4\.42 or later; only a later line/);
    expect(advice('3.5.1')).toEqual([['bad', expect.stringContaining('upgrade to 3.5.33')]]);
    expect(advice('3.5.33')).toEqual([]);
    expect(advice('3.6.14')).toEqual([]); // what nobody has mended yet is no advice
    expect(advice('3.7.1')).toEqual([]);
  });

  test('docs/operating-etcd.md has the same table', () => {
    const page = readFileSync(new URL('../../docs/operating-etcd.md', import.meta.url), 'utf8');
    const rows = [...page.matchAll(/^\| \[(\S+)\]\((\S+)\) +\| (.+?) +\| (.+?) +\|$/gm)];
    const range = ({ line, from, fixed }: Affected): string =>
      fixed === undefined ? `${line}.${from} on: not mended` : `${line}.${from} to ${line}.${fixed - 1}`;
    expect(rows.map(([, id, url, symptom, affected]) => [id, url, symptom, affected])).toEqual(
      DEFECTS.map(({ id, url, symptom, affected }) => [id, url, symptom, affected.map(range).join(', ')]),
    );
    for (const { line, last = '', end = '' } of RELEASE_LINES) {
      const row = new RegExp(`^\\| ${line} .*$`, 'm').exec(page)?.[0];
      expect(row).toContain(last);
      expect(row).toContain(end);
    }
  });

  test('a member that is away is a warning while the cluster has a quorum, and a time-out is no permission', () => {
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

  test('a member of another cluster, and a grpc-proxy', () => {
    expect(judgeCluster([reading({}), reading({ clusterId: '6', leaderId: '2' })], 1)[0]).toMatchObject({
      verdict: 'bad',
      found: expect.stringContaining('2 different clusters'),
    });
    expect(verdicts(judgeProxy(false))).toEqual(['bad']);
    expect(judgeProxy(true)).toEqual([]);
    expect(judgeProxy(undefined)).toEqual([]);
  });

  test.for([
    ['etcdserver: authentication failed, invalid user ID or password', 'authentication'],
    ['etcdserver: user name is empty', 'authentication'],
    ['etcdserver: permission denied', 'permission'],
    ['Protocol error', 'not-etcd'],
    ['Received HTTP status code 404', 'not-etcd'],
    ['self-signed certificate in certificate chain', 'tls'],
    ['no answer within 5 s', 'silent'],
    ['connect ECONNREFUSED 127.0.0.1:1', 'unreachable'],
  ] as const)('%s: %s', ([error, failure]) => {
    expect(failureOf(error)).toBe(failure);
  });

  test('a cluster, its alarms, its leases, our permissions', () => {
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
  });
});
