import { Etcd3 } from 'etcd3';
import { Election, type ElectionOptions } from 'etcd-election';
import { networkInterfaces } from 'node:os';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { LONGEST_VALUE_BYTES } from '../../src/etcd/candidate-kv.ts';
import { checkSignal, checkTxnOptions, checkValue } from '../../src/input-checks.ts';
import { resolveOptions } from '../../src/options.ts';
import { ownAddress } from '../../src/util/own-name.ts';
import { RecordedLog } from '../support/recorded-log.ts';

const client = new Etcd3({ hosts: 'http://127.0.0.1:1' }); // never connects

afterAll(() => client.close());

const { logger } = new RecordedLog();

/** A value that no type checker saw. */
const anything = (value: unknown): never => value as never;

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

  test('console as the logger: text only, from info on, without a stack trace', () => {
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
    expect(marginMs).toBeUndefined(); // it follows later: a tenth of the granted TTL
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

  test('a value: any text up to its limit in bytes', () => {
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

  test('the signal itself instead of options with a signal', () => {
    const { signal } = new AbortController();
    expect(() => checkSignal(signal, 'e')).toThrow(/"e": expected \{ signal \}, got the signal itself/);
    expect(checkSignal({ signal }, 'e')).toBe(signal);
  });

  test('a misspelt option of lead() or observe()', () => {
    const { signal } = new AbortController();
    expect(() => checkSignal({ singal: signal }, 'e')).toThrow(
      /"e": expected only the options signal, got "singal"/,
    );
    const names = ['signal', 'ifFree'];
    expect(() => checkSignal({ ifFre: true }, 'e', names)).toThrow(
      /only the options signal, ifFree, got "ifFre"/,
    );
    expect(checkSignal({ ifFree: true }, 'e', names)).toBeUndefined();
  });

  test('options of a write that are not an object', () => {
    for (const options of [true, 5, null, 'exactlyOnce'])
      expect(() => checkTxnOptions(anything(options), 'e')).toThrow(/"e": expected an object, got /);
    expect(checkTxnOptions(undefined, 'e')).toEqual({ exactlyOnce: false });
  });

  test("without a value: this node's own address, neither loopback nor link-local", () => {
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
