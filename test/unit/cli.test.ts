import { describe, expect, test } from 'vitest';
import { operandsOf, parseCommand, oneName, UsageError } from '../../src/cli/arguments.ts';
import { doctor } from '../../src/cli/doctor/doctor.ts';
import { explain } from '../../src/cli/plain-error.ts';
import { graceMs, parseRun } from '../../src/cli/run/run-options.ts';
import { queuesOf } from '../../src/cli/candidates.ts';
import { profile } from '../../src/cli/profile.ts';
import { documentOf, status, textOf, type StatusView } from '../../src/cli/status.ts';
import { paletteFor, printable, table, wrapped } from '../../src/cli/terminal.ts';
import { lineOf } from '../../src/cli/watch.ts';

const plain = paletteFor({ isTTY: false }, {});

describe('the connection settings of etcdctl', () => {
  const connection = (args: string[], env = {}) => parseCommand(args, env).connection;

  test('come from the environment, and flags override them', () => {
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

  test('a certificate implies https', () => {
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
  ])('%s is refused with the expected form', (args) => {
    expect(() => parseCommand(args, {})).toThrow(UsageError);
  });

  test('arguments after -- are not parsed', () => {
    const { words, rest } = parseCommand(['job', '--json', '--', 'cmd', '--json', '--', 'x'], {});
    expect({ words, rest }).toEqual({ words: ['job'], rest: ['cmd', '--json', '--', 'x'] });
  });

  test('except in run, a NAME after -- counts', () => {
    expect(oneName(operandsOf(parseCommand(['--json', '--', '-job'], {})))).toBe('-job');
    expect(operandsOf(parseCommand(['job'], {}))).toEqual(['job']);
  });

  test('words that a command cannot use are refused', async () => {
    const terminal = { env: {}, stdout: process.stdout, stderr: process.stderr, stdin: process.stdin };
    const refused = { name: 'UsageError' };
    await expect(doctor(['http://10.0.0.1:2379'], terminal)).rejects.toMatchObject(refused);
    await expect(status(['--', 'a', 'b'], terminal)).rejects.toMatchObject(refused);
    for (const out of ['', '/tmp/'])
      await expect(profile(['http://127.0.0.1:1', '--out', out], terminal)).rejects.toMatchObject(refused);
  });

  test('a NAME or a prefix with NUL is refused for that reason', () => {
    expect(() => oneName(['a\0b'])).toThrow(/^NAME: .* no NUL, got "a\\u0000b"/);
    expect(() => parseCommand(['--prefix', 'a\0/'], {})).toThrow(
      /^--prefix: .* without NUL, got "a\\u0000\/"/,
    );
  });

  test.for([[[]], [['a', 'b']], [['a/b']], [['']]])('NAME: %j is refused', ([words]) => {
    expect(() => oneName(words!)).toThrow(UsageError);
  });
});

describe('the TLS and time settings of etcdctl', () => {
  const connection = (args: string[], env = {}) => parseCommand(args, env).connection;

  test('--insecure-transport=false and --insecure-skip-tls-verify imply https', () => {
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
  test('has defaults', () => {
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
    [['job', '--grace=99999999999', '--', 'x'], /--grace: expected a time/],
    [
      ['job', '--wait=9999999', '--', 'x'],
      /--wait: expected a time from 0ms to 34560m \(24 days\), got 9999999/,
    ],
    [['job', '--hold=40000m', '--', 'x'], /--hold: expected a time from 0ms to 34560m/],
    [['job', '--stop-timeout=60m', '--', 'x'], /--stop-timeout: expected a time from 0ms to 59m/],
    [['job', '--command-timeout=1441m', '--', 'x'], /--command-timeout: expected a time from 1ms to 1440m/],
    [['job', '--command-timeout=0', '--', 'x'], /--command-timeout/],
  ] as const)('%j is refused', ([args, message]) => {
    expect(() => parseRun(args, {})).toThrow(message);
  });

  test('S5: SIGKILL comes before etcd can release the key, also after a late notice', () => {
    for (const marginMs of [50, 3_000, 40_000])
      for (const lateMs of [-20, 0, 10, marginMs, 2 * marginMs]) {
        const grace = graceMs(marginMs, lateMs);
        expect(grace).toBeGreaterThanOrEqual(0);
        // Either at once, or well before the end of the margin.
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

  test('groups queues by election, oldest first, and ignores keys of another shape', () => {
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
        '  2      v9  token 9  no lease: etcd never deletes this key',
        '',
        'b',
        '* leads  v6  token 6  8 of 10 s left',
      ].join('\n'),
    );
    expect(String(textOf([], leases, { ...all, name: 'a' }, 'election/'))).toBe('a: nobody leads');
  });

  test('cuts long values and queues, and more so on a narrow terminal', () => {
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

  test('orders keys of one transaction by their bytes', () => {
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

  test('in JSON, tokens are strings', () => {
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
  test('gets colours only if it is one, and not with NO_COLOR', () => {
    expect(String(paletteFor({ isTTY: true }, {}).bad('x'))).toBe('\u001b[31mx\u001b[0m');
    expect(String(paletteFor({ isTTY: true }, { NO_COLOR: '1' }).bad('x'))).toBe('x');
    expect(String(paletteFor({ isTTY: true }, { TERM: 'dumb' }).bad('x'))).toBe('x');
    expect(String(plain.bad('x'))).toBe('x');
  });

  test("does not execute escape sequences in a candidate's value", () => {
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
      /^cannot reach etcd at http:\/\/a:1, http:\/\/b:2: connect ECONNREFUSED 127.0.0.1:1 \(check that etcd runs, and check --endpoints or ETCDCTL_ENDPOINTS\)$/,
    ],
    [
      '14 UNAVAILABLE: Name resolution failed for target dns:no.such.host:2379',
      /^cannot reach etcd at .*: cannot resolve no\.such\.host:2379 \(check DNS and the host name/,
    ],
    [
      '4 DEADLINE_EXCEEDED: Deadline exceeded after 1.984s,name resolution: 0.208s,metadata filters: 0.034s,Waiting for LB pick',
      /^etcd at .* does not answer: no answer within 2 s \(.*etcd-election doctor/,
    ],
    [
      '1 CANCELLED: Call cancelled',
      /^etcd at .* does not answer: no answer in time \(.*etcd-election doctor/,
    ],
    ['14 UNAVAILABLE: context deadline exceeded', /^etcd at .* does not answer: no answer in time \(/],
    [
      '14 UNAVAILABLE: No connection established. Last error: Error: Protocol error.',
      /^the server at .* does not speak/,
    ],
    ['2 UNKNOWN: etcdserver: user name is empty', /^etcd at .* requires a user: .*ETCDCTL_USER/],
    [
      '14 UNAVAILABLE: No connection established. Last error: Error: 40B7A5:error:0A00045C:SSL routines:ssl3_read_bytes:tlsv13 alert certificate required:../deps/openssl/ssl/record/rec_layer_s3.c:1605:SSL alert number 116 (2026-11-27T05:00:00.000Z). Resolution note: ',
      /^etcd at .* ends the TLS connection: TLS: alert certificate required \(.*--cert and --key/,
    ],
    ['error:0A000086:SSL routines::certificate verify failed', /TLS: certificate verify failed/],
    [
      'write EPROTO 0047:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../deps/openssl/ssl/record/ssl3_record.c:355:',
      /write EPROTO TLS: wrong version number \(if this etcd does not speak TLS/,
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
    const dollars = { user: 'a$&b', prefix: 'p$$/' };
    const refused = message('7 PERMISSION_DENIED: etcdserver: permission denied', dollars);
    expect(refused).toContain('refuses user "a$&b"');
    expect(refused).toContain('readwrite p$$/');
    expect(message('3 INVALID_ARGUMENT: etcdserver: authentication failed', { user: 'ro' })).toMatch(
      /does not accept user "ro".*ETCDCTL_PASSWORD/,
    );
  });

  test('an error that is not from etcd stays unchanged', () => {
    expect(explain(new TypeError('x is not a function'), asked)).toBeUndefined();
  });

  test.for(['Failed to connect', 'read ECONNRESET', 'write EPIPE'])(
    'an etcd that closes the connection at once: the error lists the possible causes: %s',
    (said) => {
      const told = message(
        `14 UNAVAILABLE: No connection established. Last error: Error: ${said}. Resolution note: `,
      );
      expect(told).toMatch(/^cannot reach etcd/);
      expect(told).toMatch(
        /If this etcd speaks TLS.*https:\/\/.*our client certificate.*ETCDCTL_CERT and ETCDCTL_KEY/,
      );
    },
  );
});
