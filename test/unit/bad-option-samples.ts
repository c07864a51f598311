/** Bad options, each with what the error must say. */
interface Bad {
  readonly what: string;
  readonly options: unknown;
  /** The field, the expectation, and the value. */
  readonly says: readonly [field: string, expected: RegExp, came: string];
}

export const bad: readonly Bad[] = [
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
    what: 'a deliberate TTL that is too long',
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
  { what: 'a margin of zero', options: { marginMs: 0 }, says: ['marginMs', /from 50 to/, 'got 0'] },
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
    what: 'a prefix without a final slash',
    options: { prefix: 'election' },
    says: ['prefix', /ends with "\/"/, 'got "election"'],
  },
  {
    what: 'a prefix with NUL',
    options: { prefix: 'a\0/' },
    says: ['prefix', /without NUL/, 'got "a\\u0000/"'],
  },
  {
    what: 'a prefix inside the write slots of other elections',
    options: { prefix: 'election/.writes/' },
    says: ['prefix', /no part "\.writes" \(it is reserved\)/, 'got "election/.writes/"'],
  },
  {
    what: 'a prefix that begins with two slashes',
    options: { prefix: '//app/' },
    says: ['prefix', /no "\/\/"/, 'got "//app/"'],
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
    what: 'a prefix with an empty variable',
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
    what: 'a callback that is not a function',
    options: { onLeader: 'lead' },
    says: ['onLeader', /expected a function/, 'got "lead"'],
  },
  {
    what: 'another callback that is not a function',
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
    what: 'a last will that is text',
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
    what: 'a guard with a cap of zero',
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
  { what: 'options that are not an object', options: 10, says: ['options', /expected an object/, 'got 10'] },
];
