import { Etcd3 } from 'etcd3';
import { Election, InvalidInputError, type ElectionOptions } from 'etcd-election';
import { networkInterfaces } from 'node:os';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { LONGEST_VALUE_BYTES } from '../../src/etcd/election-keys.ts';
import { checkSignal, checkTxnOptions, checkValue } from '../../src/input-checks.ts';
import { resolveOptions } from '../../src/options.ts';
import { ownAddress } from '../../src/util/own-name.ts';
import { RecordedLog } from '../support/recorded-log.ts';

const client = new Etcd3({ hosts: 'http://127.0.0.1:1' }); // never dialled
afterAll(() => client.close());

const { logger } = new RecordedLog();

/** What no type checker saw. */
const anything = (value: unknown): never => value as never;

/** @returns the message with which the constructor refuses. */
function refusal(name: unknown, options?: unknown, from: unknown = client): string {
  try {
    void new Election(anything(from), anything(name), anything(options));
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidInputError);
    expect(error).toMatchObject({ code: 'ELECTION_INVALID_INPUT', retryable: false });
    return (error as Error).message;
  }
  throw new Error('was not refused');
}

interface Bad {
  readonly what: string;
  readonly options: unknown;
  /** The field, the expectation, and what came. */
  readonly says: readonly [field: string, expected: RegExp, came: string];
}

const bad: readonly Bad[] = [
  {
    what: 'TTL 0',
    options: { ttlSeconds: 0 },
    says: ['ttlSeconds', /whole number from 1 to 86400/, 'got 0'],
  },
  { what: 'TTL -1', options: { ttlSeconds: -1 }, says: ['ttlSeconds', /from 1 to/, 'got -1'] },
  {
    what: 'TTL NaN',
    options: { ttlSeconds: Number.NaN },
    says: ['ttlSeconds', /expected a whole number/, 'got NaN'],
  },
  {
    what: 'TTL Infinity',
    options: { ttlSeconds: Infinity },
    says: ['ttlSeconds', /expected/, 'got Infinity'],
  },
  {
    what: 'TTL 1.5',
    options: { ttlSeconds: 1.5 },
    says: ['ttlSeconds', /expected a whole number/, 'got 1.5'],
  },
  {
    what: 'TTL 1e9',
    options: { ttlSeconds: 1e9 },
    says: ['ttlSeconds', /from 1 to 86400/, 'got 1000000000'],
  },
  {
    what: 'a TTL in milliseconds',
    options: { ttlSeconds: 10_000 },
    says: ['ttlSeconds', /at most 3600: its unit is seconds .*allowLongTtl: true/, 'got 10000'],
  },
  {
    what: 'a long TTL that is meant, but too long',
    options: { ttlSeconds: 86_401, allowLongTtl: true },
    says: ['ttlSeconds', /from 1 to 86400/, 'got 86401'],
  },
  { what: 'TTL null', options: { ttlSeconds: null }, says: ['ttlSeconds', /expected/, 'got null'] },
  { what: 'TTL as text', options: { ttlSeconds: '10' }, says: ['ttlSeconds', /expected/, 'got "10"'] },
  {
    what: 'a margin of half the TTL',
    options: { ttlSeconds: 4, marginMs: 2_000 },
    says: ['marginMs', /less than half of the TTL/, 'got 2000'],
  },
  {
    what: 'a margin of half the default TTL',
    options: { marginMs: 5_000 },
    says: ['marginMs', /less than half of the TTL/, 'got 5000'],
  },
  { what: 'a margin of nothing', options: { marginMs: 0 }, says: ['marginMs', /from 50 to/, 'got 0'] },
  { what: 'a margin of NaN', options: { marginMs: Number.NaN }, says: ['marginMs', /expected/, 'got NaN'] },
  {
    what: 'an unknown option',
    options: { ttl: 10 },
    says: ['options', /options\.ttl: there is no such option/, ''],
  },
  {
    what: 'a misspelt guard option',
    options: { guard: { bust: 3 } },
    says: ['options.guard', /options\.guard\.bust: there is no such option/, ''],
  },
  {
    what: 'a prefix that ends in no slash',
    options: { prefix: 'election' },
    says: ['prefix', /ends with "\/"/, 'got "election"'],
  },
  {
    what: 'a prefix with NUL',
    options: { prefix: 'a\0/' },
    says: ['prefix', /without NUL/, 'got "a\\u0000/"'],
  },
  {
    what: 'a prefix under which writes of other elections are kept',
    options: { prefix: 'election/.writes/' },
    says: ['prefix', /no part "\.writes" \(it is reserved\)/, 'got "election/.writes/"'],
  },
  {
    what: 'a prefix that begins with a slash',
    options: { prefix: '/app/' },
    says: ['prefix', /no "\/" at the start .*write "app\/"/, 'got "/app/"'],
  },
  {
    what: 'a prefix of a slash',
    options: { prefix: '/' },
    says: ['prefix', /no "\/" at the start/, 'got "/"'],
  },
  {
    what: 'a prefix with a double slash',
    options: { prefix: 'app//' },
    says: ['prefix', /no "\/\/"/, 'got "app//"'],
  },
  {
    what: 'a prefix with a blank before its slash',
    options: { prefix: 'app /' },
    says: ['prefix', /no blanks at its edges/, 'got "app /"'],
  },
  {
    what: 'a prefix with a variable that has no value',
    options: { prefix: `${String(process.env['ETCD_ELECTION_NO_SUCH_VARIABLE'])}/election/` },
    says: ['prefix', /no "undefined" in it \(a variable has no value/, 'got "undefined/election/"'],
  },
  {
    what: 'a prefix of more than 1 KiB',
    options: { prefix: `${'ä'.repeat(512)}/` },
    says: ['prefix', /at most 1024 bytes of UTF-8 \(this is 1025/, 'got "ä'],
  },
  {
    what: 'a prefix with half an emoji',
    options: { prefix: '\ud83d/' },
    says: ['prefix', /well-formed Unicode/, 'got "\\ud83d/"'],
  },
  {
    what: 'a callback that is none',
    options: { onLeader: 'lead' },
    says: ['onLeader', /expected a function/, 'got "lead"'],
  },
  {
    what: 'another callback that is none',
    options: { onFollower: {} },
    says: ['onFollower', /expected a function/, 'got an object'],
  },
  {
    what: 'a logger without methods',
    options: { logger: { info() {} } },
    says: ['logger', /pino logger/, 'got an object'],
  },
  {
    what: 'winston`s logger, which has no trace',
    options: { logger: { debug() {}, info() {}, warn() {}, error() {} } },
    says: ['logger', /docs\/guide\.md has an adapter for winston/, 'got an object'],
  },
  {
    what: 'the console`s log function as a logger',
    options: { logger: console.log },
    says: ['logger', /pino logger/, 'got a function'],
  },
  {
    what: 'a negative drain',
    options: { drainTimeoutMs: -1 },
    says: ['drainTimeoutMs', /from 0 to/, 'got -1'],
  },
  {
    what: 'an endless drain',
    options: { drainTimeoutMs: Infinity },
    says: ['drainTimeoutMs', /expected/, 'got Infinity'],
  },
  {
    what: 'a progress timeout below its floor',
    options: { progressTimeoutMs: 99 },
    says: ['progressTimeoutMs', /from 100 to/, 'got 99'],
  },
  {
    what: 'a last will in words',
    options: { lastWill: 'yes' },
    says: ['lastWill', /expected true or false/, 'got "yes"'],
  },
  {
    what: 'a controller instead of its signal',
    options: { signal: new AbortController() },
    says: ['signal', /AbortSignal/, 'got an object'],
  },
  {
    what: 'the guard switched off',
    options: { guard: false },
    says: ['guard', /expected an object \(the guard can be tuned, not switched off\)/, 'got false'],
  },
  {
    what: 'a guard without a burst',
    options: { guard: { burst: 0 } },
    says: ['guard.burst', /from 1 to 20/, 'got 0'],
  },
  {
    what: 'a guard with an endless burst',
    options: { guard: { burst: 1e6 } },
    says: ['guard.burst', /from 1 to 20/, 'got 1000000'],
  },
  {
    what: 'a guard below the hard floor',
    options: { guard: { baseMs: 1 } },
    says: ['guard.baseMs', /from 100 to/, 'got 1'],
  },
  {
    what: 'a guard with a cap of nothing',
    options: { guard: { capMs: 0 } },
    says: ['guard.capMs', /from 2500 to/, 'got 0'],
  },
  {
    what: 'a guard that forgets at once',
    options: { guard: { healthyAfterMs: 0 } },
    says: ['guard.healthyAfterMs', /from 5000 to/, 'got 0'],
  },
  {
    what: 'a guard with a NaN',
    options: { guard: { baseMs: Number.NaN } },
    says: ['guard.baseMs', /expected/, 'got NaN'],
  },
  {
    what: 'a cap below the base',
    options: { guard: { baseMs: 5_000, capMs: 2_500 } },
    says: ['guard.capMs', /at least baseMs/, 'got 2500'],
  },
  {
    what: 'an outside cap below the base',
    options: { guard: { baseMs: 5_000 } },
    says: ['guard.outsideCapMs', /at least baseMs/, ''],
  },
  { what: 'options that are none', options: 10, says: ['options', /expected an object/, 'got 10'] },
];

describe('bad input is refused at construction: the message names the field, what is expected and what came', () => {
  test.for(bad)('$what', ({ options, says: [field, expected, came] }) => {
    const message = refusal('sync-master', options);
    expect(message).toContain('"sync-master"');
    expect(message).toContain(field);
    expect(message).toMatch(expected);
    expect(message).toContain(came);
    expect(message).not.toContain('\n');
  });

  test.for([
    ['empty', '', 'got ""'],
    ['with a slash', 'a/b', 'got "a/b"'],
    ['with NUL', 'a\0', 'got "a\\u0000"'],
    ['no string', 42, 'got 42'],
    ['missing', undefined, 'got undefined'],
    ['an object that has no text', Object.create(null), 'got an object'],
  ] as const)('a name: %s', ([, name, came]) => {
    const message = refusal(name);
    expect(message).toMatch(/name of an election: expected a string that is not empty/);
    expect(message).toContain(came);
  });

  test.for([
    ['half an emoji', '\ud83d', /well-formed Unicode/],
    ['half an emoji within', 'a\ude00b', /well-formed Unicode/],
    ['more than 1 KiB', 'x'.repeat(1_025), /at most 1024 bytes of UTF-8 \(this is 1025/],
    ['more than 1 KiB in UTF-8', 'ä'.repeat(513), /at most 1024 bytes of UTF-8 \(this is 1026/],
    ['400,000 characters', 'x'.repeat(400_000), /at most 1024 bytes/],
    ['a blank behind', 'x ', /no blanks at its edges .*trim it/],
    ['a blank before', ' x', /no blanks at its edges/],
    ['a line break behind', 'x\n', /no blanks at its edges/],
    ['a blank that does not break, behind', 'x\u00a0', /no blanks at its edges/],
    ['blanks alone', '  ', /no blanks at its edges/],
    ['undefined', `${undefined}`, /no "undefined" in it \(a variable has no value: set it/],
    ['undefined within', `jobs-${undefined}-eu`, /no "undefined" in it/],
    ['null', `${null}`, /no "null" in it/],
    ['null within', `jobs_${null}`, /no "null" in it/],
    ['NaN', `shard-${Number('x')}`, /no "NaN" in it/],
    ['an object', '[object Object]', /no "\[object Object\]" in it/],
    ['a promise', 'jobs-[object Promise]', /no "\[object Promise\]" in it/],
    ['a template in quotes', '${SERVICE}-x', /no "\$\{SERVICE\}" in it \(a template was not filled in/],
    ['a template that was cut', 'x-${SERVICE', /no "\$\{SERVICE" in it/],
    ['a variable of a shell', '$SERVICE-x', /no "\$SERVICE" in it/],
    ['a variable of Kubernetes', '$(SERVICE)', /no "\$\(SERVICE\)" in it/],
    ['a variable of Windows', '%SERVICE%', /no "%SERVICE%" in it/],
    ['a place in a Helm chart', '{{ .Values.name }}', /no "\{\{ \.Values\.name \}\}" in it/],
    ['a place in an example', '<your-service>', /no "<your-service>" in it/],
    ['quotes of an env file', '"billing"', /no quotes around it/],
    ['a blank without width', 'x\u200b', /cannot be seen.*U\+200B/],
    ['a joiner without width behind', 'x\u200d', /cannot be seen.*U\+200D/],
    ['a mark of byte order within', 'x\ufeffy', /cannot be seen.*U\+FEFF/],
    ['a soft hyphen', 'x\u00ady', /U\+00AD/],
    ['a change of direction', 'x\u202ey', /U\+202E/],
    ['a line break within', 'x\ny', /U\+000A/],
    ['an escape sequence', 'x\u001b[2J', /U\+001B/],
    ['a blank that does not break, within', 'x\u00a0y', /only looks like a blank.*U\+00A0/],
    ['a filler of Hangul', 'x\u3164', /U\+3164/],
  ] as const)('a name that is a mistake: %s', ([, name, expected]) => {
    const message = refusal(name);
    expect(message).toMatch(/^name of an election: expected /);
    expect(message).toMatch(expected);
    expect(message).toContain('got "');
    expect(message.length).toBeLessThan(300);
  });

  test.for([
    'my service',
    'größe',
    '任务',
    'پیش\u200cفرض',
    '👩\u200d🚀-jobs',
    '❤️',
    'user@host:job',
    '{user1}.jobs',
    '50%',
    '1 < 2',
  ])('a name that is none: %s', (name) => expect(() => new Election(client, name, { logger })).not.toThrow());

  test('a prefix that is a mistake', () => {
    expect(refusal('e', { prefix: '${STAGE}/' })).toContain('no "${STAGE}" in it');
    expect(refusal('e', { prefix: 'app\u200b/' })).toContain('U+200B');
  });

  test('a name that says nothing is worth a warning, unless a prefix says more', () => {
    expect(resolveOptions('leader', undefined).warnings).toEqual([
      expect.stringContaining('says neither the service nor the job'),
    ]);
    expect(resolveOptions('leader', { prefix: 'billing/' }).warnings).toEqual([]);
    expect(resolveOptions('billing-leader', undefined).warnings).toEqual([]);
  });

  test('all complaints at once', () => {
    const message = refusal('e', { ttlSeconds: 0, prefix: 'p', foo: 1 });
    expect(message).toContain('ttlSeconds');
    expect(message).toContain('prefix');
    expect(message).toContain('options.foo: there is no such option');
  });

  test.for([
    ['nothing', null, 'got null'],
    ['a URL', 'http://127.0.0.1:2379', 'got "http://127.0.0.1:2379"'],
    ['the class itself', Etcd3, 'got a function'],
    ['its options', { hosts: '127.0.0.1:2379' }, 'got an object'],
    ['a namespace of a client', client.namespace('app/'), 'got an object'],
  ] as const)('a client: %s', ([, from, came]) => {
    const message = refusal('e', {}, from);
    expect(message).toContain('client of election "e"');
    expect(message).toContain('an Etcd3 client');
    expect(message).toContain(came);
  });

  test.for(['http://127.0.0.1:2379/', '127.0.0.1:2379/', 'http://127.0.0.1:2379/v3', ' 127.0.0.1:2379'])(
    'a client on the host %s, to which etcd3 never connects',
    (host) => {
      for (const hosts of [host, ['http://127.0.0.1:2379', host]]) {
        const odd = new Etcd3({ hosts });
        try {
          expect(refusal('e', {}, odd)).toMatch(
            /without a path, a slash at the end or blanks.*got ".*[/ ].*"/,
          );
        } finally {
          odd.close();
        }
      }
    },
  );

  test('a client on a host that a variable without a value made', () => {
    const odd = new Etcd3({ hosts: `http://${process.env['ETCD_ELECTION_NO_SUCH_VARIABLE']}:2379` });
    expect(refusal('e', {}, odd)).toMatch(/expected hosts without "undefined" \(a variable has no value\)/);
    odd.close();
  });

  test('secrets in a wrong argument are not repeated', () => {
    const message = refusal('e', {}, { hosts: 'x', auth: { username: 'root', password: 'hunter2' } });
    expect(message).not.toContain('hunter2');
  });

  test('what is long is cut', () => {
    expect(refusal(`${'x'.repeat(10_000)}/`).length).toBeLessThan(300);
  });
});

describe('good input', () => {
  test('the defaults', () => {
    expect(resolveOptions('e', undefined)).toMatchInlineSnapshot(`
      {
        "drainTimeoutMs": 9000,
        "guard": {
          "baseMs": 250,
          "burst": 5,
          "capMs": 30000,
          "healthyAfterMs": 30000,
          "outsideCapMs": 2500,
        },
        "lastWill": false,
        "logger": undefined,
        "marginMs": undefined,
        "onFollower": undefined,
        "onLeader": undefined,
        "onLeaderChange": undefined,
        "prefix": "election/",
        "progressTimeoutMs": undefined,
        "signal": undefined,
        "ttlSeconds": 10,
        "warnings": [],
        "whenWorkEnds": "stay",
      }
    `);
  });

  test('console as the logger: text alone, from info on, and no stack trace', () => {
    const { logger } = resolveOptions('e', { logger: console });
    const said: unknown[][] = [];
    for (const method of ['trace', 'debug', 'info', 'warn', 'error'] as const)
      vi.spyOn(console, method).mockImplementation((...all) => void said.push([method, ...all]));
    const err = new Error('why');
    for (const method of ['trace', 'debug', 'info', 'warn', 'error'] as const)
      logger![method]({ event: 'x', ...(method === 'error' && { err }) }, 'text');
    vi.restoreAllMocks();
    const text = 'etcd-election: text';
    expect(said).toEqual([
      ['info', text],
      ['warn', text],
      ['error', text, err],
    ]);
  });

  test('undefined is the same as left out', () => {
    const options = { ttlSeconds: undefined, guard: undefined, logger: undefined, signal: undefined };
    expect(resolveOptions('e', options)).toEqual(resolveOptions('e', {}));
  });

  test.for([1, 2, 10, 300, 3_600])('TTL %s: margin and drain follow from it', (ttlSeconds) => {
    const { marginMs, drainTimeoutMs } = resolveOptions('e', { ttlSeconds });
    expect(marginMs).toBeUndefined(); // a tenth of the TTL that is granted
    expect(drainTimeoutMs).toBe(ttlSeconds * 900);
  });

  test('each option at the edge of its range', () => {
    const edges: ElectionOptions[] = [
      { ttlSeconds: 1, marginMs: 499 },
      { ttlSeconds: 3_600 },
      { ttlSeconds: 86_400, allowLongTtl: true },
      { prefix: `${'x'.repeat(1_023)}/` },
      { prefix: '' },
      { prefix: 'a/b/' },
      { drainTimeoutMs: 0 },
      { progressTimeoutMs: 100 },
      { guard: { burst: 1, baseMs: 100, capMs: 2_500, outsideCapMs: 1_000, healthyAfterMs: 5_000 } },
      { guard: { burst: 20, baseMs: 60_000, capMs: 3_600_000, outsideCapMs: 60_000 } },
    ];
    for (const options of edges) expect(() => resolveOptions('e', options)).not.toThrow();
  });

  test.for([
    'master',
    'sync-master',
    'Ünïcode 主 😀',
    'a b',
    '.',
    '..',
    'nullable-columns',
    'annulled',
    'BaNaNa',
    'x'.repeat(1_024),
  ])('a name: %s', (name) => {
    expect(() => new Election(client, name, { logger })).not.toThrow();
  });

  test.for([
    [300, undefined],
    [301, /ttlSeconds is 301: after a crash nobody leads for up to 5 minutes; set allowLongTtl: true/],
    [3_600, /up to 60 minutes/],
  ] as const)('TTL %s: a warning above 300', ([ttlSeconds, warning]) => {
    const log = new RecordedLog();
    void new Election(client, `ttl-${ttlSeconds}`, { ttlSeconds, logger: log.logger });
    void new Election(client, `meant-${ttlSeconds}`, { ttlSeconds, allowLongTtl: true, logger: log.logger });
    const warnings = log.of('options.unusual');
    expect(warnings.map(({ election }) => election)).toEqual(
      warning === undefined ? [] : [`ttl-${ttlSeconds}`],
    );
    if (warning !== undefined)
      expect(warnings[0]).toMatchObject({ level: 40, msg: expect.stringMatching(warning) });
  });

  test('a value: any text up to its limit, counted in bytes', () => {
    expect(() => checkValue('', 'e')).not.toThrow();
    expect(() => checkValue('ä'.repeat(LONGEST_VALUE_BYTES / 2), 'e')).not.toThrow();
    expect(() => checkValue('ä'.repeat(LONGEST_VALUE_BYTES / 2 + 1), 'e')).toThrow(
      /at most \d+ bytes, got \d+ bytes/,
    );
    expect(() => checkValue(7, 'e')).toThrow(/expected a string .* got 7/);
    expect(() => checkValue('10.0.0.7 \ud83d', 'e')).toThrow(
      /expected a string of well-formed Unicode .*got "/,
    );
  });

  test('the signal itself, where options with a signal are expected', () => {
    const { signal } = new AbortController();
    expect(() => checkSignal(signal, 'e')).toThrow(/"e": expected \{ signal \}, got the signal itself/);
    expect(checkSignal({ signal }, 'e')).toBe(signal);
  });

  test('a misspelt option of lead() or observe()', () => {
    const { signal } = new AbortController();
    expect(() => checkSignal({ singal: signal }, 'e')).toThrow(
      /"e": expected no options but signal, got "singal"/,
    );
    const names = ['signal', 'ifFree'];
    expect(() => checkSignal({ ifFre: true }, 'e', names)).toThrow(
      /no options but signal, ifFree, got "ifFre"/,
    );
    expect(checkSignal({ ifFree: true }, 'e', names)).toBeUndefined();
  });

  test('options of a write that are no object', () => {
    for (const options of [true, 5, null, 'exactlyOnce'])
      expect(() => checkTxnOptions(anything(options), 'e')).toThrow(/"e": expected an object, got /);
    expect(checkTxnOptions(undefined, 'e')).toEqual({ exactlyOnce: false });
  });

  test('without a value, this node`s own address: no loopback, no link-local', () => {
    const own = ownAddress();
    const external = Object.values(networkInterfaces())
      .flatMap((addresses) => addresses ?? [])
      .filter(({ internal, address }) => !internal && !address.startsWith('fe80:'));
    if (external.length > 0) expect(external.map(({ address }) => address)).toContain(own);
    expect(own).not.toBe('');
    expect(own).not.toBe('127.0.0.1');
    const ipv4 = external.find(({ family }) => family === 'IPv4');
    if (ipv4 !== undefined) expect(own).toBe(ipv4.address);
  });
});
