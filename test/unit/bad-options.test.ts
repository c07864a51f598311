import { Etcd3 } from 'etcd3';
import { Election, InvalidInputError } from 'etcd-election';
import { afterAll, describe, expect, test } from 'vitest';
import { checkClient } from '../../src/input-checks.ts';
import { resolveOptions } from '../../src/options.ts';
import { RecordedLog } from '../support/recorded-log.ts';
import { bad } from './bad-option-samples.ts';

const client = new Etcd3({ hosts: 'http://127.0.0.1:1' }); // never connects

afterAll(() => client.close());

const { logger } = new RecordedLog();

/** A value that no type checker saw. */
const anything = (value: unknown): never => value as never;

/** @returns the message of the constructor's refusal. */
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

describe('bad input is refused at construction: the message names the field, the expectation and the value', () => {
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
  ] as const)('a mistaken name: %s', ([, name, expected]) => {
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
  ])('a missing name: %s', (name) => expect(() => new Election(client, name, { logger })).not.toThrow());

  test('a mistaken prefix', () => {
    expect(refusal('e', { prefix: '${STAGE}/' })).toContain('no "${STAGE}" in it');
    expect(refusal('e', { prefix: 'app\u200b/' })).toContain('U+200B');
  });

  test('a generic name causes a warning, unless a prefix says more', () => {
    expect(resolveOptions('leader', undefined).warnings).toEqual([
      expect.stringContaining('says neither the service nor the job'),
    ]);
    expect(resolveOptions('leader', { prefix: 'billing/' }).warnings).toEqual([]);
    expect(resolveOptions('billing-leader', undefined).warnings).toEqual([]);
  });

  test('all complaints together', () => {
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
          expect(refusal('e', {}, odd)).toMatch(/, a path, a slash at the end or blanks.*got ".*[/ ].*"/);
        } finally {
          odd.close();
        }
      }
    },
  );

  test.for(['a:2379,b:2379', 'http://a:2379,http://b:2379', '127.0.0.1:1;127.0.0.1:2'])(
    'a client on the list %s in one string',
    (hosts) => {
      const odd = new Etcd3({ hosts });
      expect(refusal('e', {}, odd)).toMatch(/each as a string of its own.*got "[^"]*[,;]/);
      odd.close();
    },
  );

  test.for([
    'http://root:hunter2@127.0.0.1:2379',
    'root:hunter2@127.0.0.1:2379',
    'http://root:hunter2/x@a:1',
  ])('a client on %s, without its password', (hosts) => {
    const odd = new Etcd3({ hosts });
    const message = refusal('e', {}, odd);
    expect(message).toMatch(/without a user,.*got "(http:\/\/)?…@/);
    expect(message).not.toContain('hunter2');
    odd.close();
  });

  test('a client on a list of IP addresses, which gRPC splits, is valid', () => {
    const odd = new Etcd3({ hosts: 'ipv4:127.0.0.1:1,127.0.0.1:2' });
    expect(() => checkClient(odd, 'e')).not.toThrow();
    odd.close();
  });

  test('a client on a host from a variable without a value', () => {
    const odd = new Etcd3({ hosts: `http://${process.env['ETCD_ELECTION_NO_SUCH_VARIABLE']}:2379` });
    expect(refusal('e', {}, odd)).toMatch(/expected hosts without "undefined" \(a variable has no value\)/);
    odd.close();
  });

  test('secrets in a wrong argument are not repeated', () => {
    const message = refusal('e', {}, { hosts: 'x', auth: { username: 'root', password: 'hunter2' } });
    expect(message).not.toContain('hunter2');
  });

  test('long values are cut', () => {
    expect(refusal(`${'x'.repeat(10_000)}/`).length).toBeLessThan(300);
  });
});
