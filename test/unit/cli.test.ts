import { describe, expect, test } from 'vitest';
import { parseCommand, oneName, UsageError } from '../../src/cli/arguments.ts';
import {
  judgeAlarms,
  judgeCluster,
  judgeLease,
  judgeMember,
  judgePermissions,
  type MemberReading,
} from '../../src/cli/doctor-checks.ts';
import { messageOf } from '../../src/cli/plain-error.ts';
import { graceMs, parseRun } from '../../src/cli/run-options.ts';
import { queuesOf } from '../../src/cli/seats.ts';
import { documentOf, textOf } from '../../src/cli/status.ts';
import { paletteFor, printable, table } from '../../src/cli/terminal.ts';
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
    ['--user', 'nopassword'],
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
    expect(() => oneName('status', words!)).toThrow(UsageError);
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
    expect(textOf(queues, leases, plain, undefined, 'election/')).toBe(
      [
        'a',
        '* leads  v5  token 5  8 of 10 s left',
        '  2      v9  token 9  no lease: stays until it is evicted',
        '',
        'b',
        '* leads  v6  token 6  8 of 10 s left',
      ].join('\n'),
    );
    expect(textOf([], leases, plain, 'a', 'election/')).toBe('a: nobody leads');
  });

  test('as JSON: tokens are strings', () => {
    expect(documentOf(queues[1]!, leases)).toMatchObject({
      election: 'b',
      leader: { position: 1, fencingToken: '6', ttlLeftSeconds: 8, ttlGrantedSeconds: 10 },
    });
  });
});

describe('the terminal', () => {
  test('colours on a terminal only, and not against NO_COLOR', () => {
    expect(paletteFor({ isTTY: true }, {}).bad('x')).toBe('\u001b[31mx\u001b[0m');
    expect(paletteFor({ isTTY: true }, { NO_COLOR: '1' }).bad('x')).toBe('x');
    expect(paletteFor({ isTTY: true }, { TERM: 'dumb' }).bad('x')).toBe('x');
    expect(plain.bad('x')).toBe('x');
  });

  test('does not obey what a candidate announces', () => {
    expect(printable('a\u001b[2Jb\r\n')).toBe('a\\x1b[2Jb\\x0d\\x0a');
    expect(table([['\u001b]0;x\u0007', '1']])).not.toContain('\u001b');
    const leader = { key: 'k', value: '\u001b[31m', fencingToken: 1n, leaseId: '1' };
    expect(lineOf(leader, new Date(0), plain)).toBe('1970-01-01T00:00:00.000Z  \\x1b[31m leads (token 1)');
  });

  test('errors without their wrapping, and with what to do', () => {
    const error = new Error(
      '14 UNAVAILABLE: No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:1. Resolution note: ',
    );
    expect(messageOf(error)).toBe(
      'No connection established: connect ECONNREFUSED 127.0.0.1:1 (is etcd there? See --endpoints and ETCDCTL_ENDPOINTS)',
    );
  });

  test.for(['Failed to connect', 'read ECONNRESET', 'write EPIPE'])(
    'an etcd that hangs up at once names all that it can be: %s',
    (said) => {
      const message = messageOf(
        new Error(`14 UNAVAILABLE: No connection established. Last error: Error: ${said}. Resolution note: `),
      );
      expect(message).toContain(`No connection established: ${said}`);
      expect(message).toMatch(
        /does this etcd speak TLS.*https:\/\/.*our client certificate.*ETCDCTL_CERT and ETCDCTL_KEY/,
      );
    },
  );
});

describe('doctor', () => {
  const well = {
    version: '3.5.16',
    roundTripMs: 1,
    memberId: '1',
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
    [reading({ version: '3.3.27' }), ['good', 'warning']],
    [reading({ version: '3.4.16' }), ['good', 'warning']],
    [reading({ version: '3.4.23' }), ['good']],
    [reading({}, 90_000), ['good', 'warning']],
    [reading({}, -1_500), ['good']],
    [reading({ databaseBytes: 1.9e9 }), ['good', 'warning']],
    [{ endpoint: 'http://a:1', reached: { error: 'gone' }, clockAheadMs: undefined }, ['bad']],
  ] as const)('a member: case %#', ([member, expected]) => {
    expect(verdicts(judgeMember(member))).toEqual(expected);
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
