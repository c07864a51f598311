/**
 * Parses command lines and environment variables into settings. Pure.
 */
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { nameProblem, prefixProblem, templatePart, unsetPart } from '../core/names.ts';
import { shown } from '../core/shown.ts';

export type Flags = NonNullable<ParseArgsConfig['options']>;
type Values = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>;
export type Environment = Readonly<Record<string, string | undefined>>;

export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** How to reach etcd: the flags and variables of etcdctl. */
export interface Connection {
  readonly endpoints: readonly string[];
  /** Paths of PEM files. */
  readonly cacert: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  /** Without a password, the command asks for it on the terminal. */
  readonly user: { readonly name: string; readonly password: string | undefined } | undefined;
  readonly insecureSkipVerify: boolean;
  readonly timeoutMs: number;
}

export interface CommandLine {
  readonly connection: Connection;
  /** Text before an election's name in its keys. */
  readonly prefix: string;
  readonly json: boolean;
  readonly help: boolean;
  /** Arguments that are neither flags nor after `--`. */
  readonly words: readonly string[];
  /** Arguments after `--`; undefined if there is no `--`. */
  readonly rest: readonly string[] | undefined;
  readonly values: Values;
}

/** Flags of every command that uses etcd. All but `--prefix` and `--json` are named as in etcdctl. */
const commonFlags = {
  endpoints: { type: 'string', multiple: true }, // etcdctl joins the values of a repeated --endpoints
  cacert: { type: 'string' },
  cert: { type: 'string' },
  key: { type: 'string' },
  user: { type: 'string' },
  password: { type: 'string' },
  'command-timeout': { type: 'string' },
  'insecure-skip-tls-verify': { type: 'string' },
  'insecure-transport': { type: 'string' },
  prefix: { type: 'string' },
  json: { type: 'boolean' },
  'write-out': { type: 'string', short: 'w' },
  help: { type: 'boolean', short: 'h' },
} as const;

export const commonHelp = `Connection (the flags and variables of etcdctl; a flag overrides its variable):
  --endpoints URLS        comma-separated, or several times; ETCDCTL_ENDPOINTS; default http://127.0.0.1:2379
  --cacert, --cert, --key PEM files; ETCDCTL_CACERT, ETCDCTL_CERT, ETCDCTL_KEY
  --user NAME[:PASSWORD]  ETCDCTL_USER; without PASSWORD, the command asks for it
  --password PASSWORD     ETCDCTL_PASSWORD; with it, --user is the name alone
  --command-timeout TIME  limit of one request, such as 5s or 1m30s; ETCDCTL_COMMAND_TIMEOUT; default 5s
  --insecure-transport=false     https for endpoints without a scheme; ETCDCTL_INSECURE_TRANSPORT
  --insecure-skip-tls-verify     do not verify etcd's certificate; ETCDCTL_INSECURE_SKIP_TLS_VERIFY

All commands that use etcd:
  --prefix PREFIX         the part of the key before the election's name; default election/
  --json, -w json         write JSON
  -h, --help              print this help`;

/** @throws {UsageError} */
export function parseCommand(args: readonly string[], env: Environment, flags: Flags = {}): CommandLine {
  const end = args.indexOf('--');
  const own = end === -1 ? args : args.slice(0, end);
  const { values, positionals } = parsed(own.map(withValue), { ...commonFlags, ...flags });
  const text = (flag: string): string | undefined => {
    const value = values[flag] as string | string[] | undefined;
    return typeof value === 'object' ? value.join(',') : value;
  };
  return {
    connection: connectionFrom(text, env),
    prefix: prefixFrom(text('prefix')),
    json: isJson(values),
    help: values['help'] === true,
    words: positionals,
    rest: end === -1 ? undefined : args.slice(end + 1),
    values,
  };
}

/** The arguments that are not flags. After `--`, a NAME may begin with `-`. */
export const operandsOf = ({ words, rest = [] }: Pick<CommandLine, 'words' | 'rest'>): string[] => [
  ...words,
  ...rest,
];

/**
 * @throws {UsageError} if the words are not exactly one NAME, or if the library does not accept it as the name of an
 * election.
 */
export function oneName(words: readonly string[]): string {
  const [name, ...more] = words;
  if (name === undefined) throw new UsageError('the NAME of the election is missing');
  if (more.length > 0) throw new UsageError(`expected only one NAME, also got ${more.join(' ')}`);
  const expected = nameProblem(name);
  if (expected !== undefined) throw new UsageError(`NAME: expected ${expected}, got ${shown(name)}`);
  return name;
}

/** Flags of etcdctl that may stand with a value (`--flag=false`) or alone. Alone, they mean true. */
const BOOLEAN = /^--(insecure-skip-tls-verify|insecure-transport)$/;
const withValue = (word: string): string => (BOOLEAN.test(word) ? `${word}=true` : word);

/** @throws {UsageError} */
export function isJson(values: { readonly [flag: string]: Values[string] }): boolean {
  const format = values['write-out'];
  if (format !== undefined && format !== 'json' && format !== 'simple')
    throw new UsageError(`--write-out: expected json or simple, got ${String(format)}`);
  return values['json'] === true || format === 'json';
}

/**
 * Parses a flag's time, rounded to milliseconds. A number without a unit means seconds.
 *
 * @param leastMs smallest value that is accepted.
 * @param mostMs largest value that is accepted; at most 2^31 - 1, the longest timer of Node.
 * @throws {UsageError}
 */
export const milliseconds = (flag: string, text: string, leastMs: number, mostMs: number): number =>
  timeFrom(`--${flag}`, text, leastMs, mostMs);

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Like {@link milliseconds}. @param source the flag or the variable that has the text. */
function timeFrom(source: string, text: string, leastMs: number, mostMs: number): number {
  if (!/^(?:\d+(?:\.\d+)?|(?:\d+(?:\.\d+)?(?:ms|s|m|h))+)$/.test(text))
    throw new UsageError(`${source}: expected a time such as 800ms, 5s, 2m or 1h30m, got ${text}`);
  const parts = [...text.matchAll(/([\d.]+)(ms|s|m|h)?/g)];
  const ms = Math.round(
    parts.reduce((sum, [, number, unit = 's']) => sum + Number(number) * UNIT_MS[unit]!, 0),
  );
  if (ms >= leastMs && ms <= mostMs) return ms;
  const days = mostMs / 86_400_000;
  const most = `${mostMs / 60_000}m${days > 1 ? ` (${days} days)` : ''}`;
  throw new UsageError(`${source}: expected a time from ${leastMs}ms to ${most}, got ${text}`);
}

/** @throws {UsageError} */
export function wholeNumber(flag: string, text: string, least: number, most: number): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= least && number <= most) return number;
  throw new UsageError(`--${flag}: expected a whole number from ${least} to ${most}, got ${text}`);
}

function parsed(args: string[], options: Flags): { values: Values; positionals: string[] } {
  try {
    return parseArgs({ args, options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError((error as Error).message.replace(/\. To specify a positional.*$/s, ''), {
      cause: error,
    });
  }
}

function connectionFrom(flag: (name: string) => string | undefined, env: Environment): Connection {
  const variable = (name: string): string => `ETCDCTL_${name.toUpperCase().replaceAll('-', '_')}`;
  /** The flag or the variable that counts. */
  const source = (name: string): string => (flag(name) === undefined ? variable(name) : `--${name}`);
  const set = (name: string): string | undefined => {
    const value = flag(name) ?? env[variable(name)];
    return value === '' ? undefined : value;
  };
  const isSet = (name: string, otherwise: boolean): boolean => {
    const value = set(name);
    if (value === undefined) return otherwise;
    if (/^(true|false|1|0)$/i.test(value)) return /^(true|1)$/i.test(value);
    throw new UsageError(`${source(name)}: expected true or false, got ${value}`);
  };
  const cacert = set('cacert');
  const cert = set('cert');
  const key = set('key');
  if ((cert === undefined) !== (key === undefined))
    throw new UsageError('--cert and --key belong together: give both, or neither');
  const insecureSkipVerify = isSet('insecure-skip-tls-verify', false);
  if (cert !== undefined && cacert === undefined && !insecureSkipVerify)
    throw new UsageError("--cert needs --cacert, the authority that signed etcd's certificate");
  return {
    endpoints: endpointsFrom(
      set('endpoints') ?? '127.0.0.1:2379',
      cacert !== undefined || insecureSkipVerify || !isSet('insecure-transport', true),
    ),
    cacert,
    cert,
    key,
    user: userFrom(set('user'), set('password')),
    insecureSkipVerify,
    timeoutMs: timeFrom(source('command-timeout'), set('command-timeout') ?? '5s', 1, LONGEST_REQUEST_MS),
  };
}

const LONGEST_REQUEST_MS = 86_400_000;

function endpointsFrom(text: string, isSecure: boolean): string[] {
  const endpoints = text.split(',').flatMap((part) => {
    const endpoint = part.trim().replace(/\/+$/, '');
    if (endpoint === '') return [];
    return [/^\w+:\/\//.test(endpoint) ? endpoint : `${isSecure ? 'https' : 'http'}://${endpoint}`];
  });
  const unset = endpoints.map((endpoint) => unsetPart(endpoint) ?? templatePart(endpoint)).find(Boolean);
  if (unset !== undefined)
    throw new UsageError(
      `--endpoints: expected no "${unset}" in it (a variable has no value, or a template was not filled in), got ${text}`,
    );
  if (endpoints.some((endpoint) => endpoint.includes('@')))
    throw new UsageError('--endpoints: expected URLs without a user: use --user');
  const wrong = endpoints.find(
    (endpoint) => !/^https?:/.test(endpoint) || !URL.canParse(endpoint) || new URL(endpoint).pathname !== '/',
  );
  if (wrong !== undefined || endpoints.length === 0)
    throw new UsageError(`--endpoints: expected URLs like http://127.0.0.1:2379, got ${wrong ?? text}`);
  if (new Set(endpoints.map((endpoint) => new URL(endpoint).protocol)).size > 1)
    throw new UsageError('--endpoints: expected all http or all https, got both');
  return endpoints;
}

function userFrom(user: string | undefined, password: string | undefined): Connection['user'] {
  if (user === undefined) return undefined;
  const colon = user.indexOf(':');
  if (password !== undefined) return { name: user, password };
  if (colon === -1) return { name: user, password: undefined };
  return { name: user.slice(0, colon), password: user.slice(colon + 1) };
}

function prefixFrom(prefix = 'election/'): string {
  const expected = prefixProblem(prefix);
  if (expected === undefined) return prefix;
  throw new UsageError(`--prefix: expected ${expected}, got ${shown(prefix)}`);
}
