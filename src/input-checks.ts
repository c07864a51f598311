/**
 * Checks the arguments of public calls.
 */
import type { Etcd3 } from 'etcd3';
import { isWellFormed, nameProblem, templatePart, unsetPart } from './core/names.ts';
import { isObject, shown } from './core/shown.ts';
import { InvalidInputError } from './errors.ts';
import { LONGEST_VALUE_BYTES } from './etcd/candidate-kv.ts';
import { A_SIGNAL, isAbortSignal } from './util/abort.ts';

/** The forms of a host that etcd3 can connect to. After `ipv4:` or `ipv6:` there may be a list, which gRPC itself splits. */
const HOST = /^(https?:\/\/)?[^/\s,;@]+$|^ipv[46]:[^/\s;@]+$|^(dns|ipv4|ipv6):\/\/[^/\s]*\/[^/\s]+$|^unix:/;

/** An unchecked name, for errors and counts: shortened, and empty if it is not a string. */
export const shortName = (name: unknown): string => (typeof name === 'string' ? name.slice(0, 80) : '');

/** @throws {InvalidInputError} */
export function checkName(name: unknown): asserts name is string {
  const expected = nameProblem(name);
  if (expected === undefined) return;
  throw new InvalidInputError(
    shortName(name),
    `name of an election: expected ${expected}, got ${shown(name)}`,
  );
}

/** @throws {InvalidInputError} */
export function checkClient(client: unknown, election: string): asserts client is Etcd3 {
  const refuse = (expected: string, came: unknown): never => {
    throw new InvalidInputError(
      election,
      `client of election "${election}": expected ${expected}, got ${shown(came)}`,
    );
  };
  const parts = ['kv', 'leaseClient', 'watchClient', 'maintenance'];
  if (typeof client !== 'object' || client === null || !parts.every((part) => part in client))
    refuse('an Etcd3 client of the etcd3 package (not what its namespace() returns)', client);
  const withoutUser = (host: unknown): unknown =>
    typeof host === 'string' ? host.replace(/^([a-z]+:\/\/)?.*@/i, '$1…@') : host; // the user part may contain a password
  const { hosts } = (client as { options?: { hosts?: unknown } }).options ?? {};
  for (const host of Array.isArray(hosts) ? hosts : hosts === undefined ? [] : [hosts]) {
    const unset = unsetPart(String(host)) ?? templatePart(String(host));
    if (unset !== undefined) refuse(`hosts without "${unset}" (a variable has no value)`, withoutUser(host));
    if (HOST.test(String(host))) continue;
    refuse(
      'hosts like http://127.0.0.1:2379, each as a string of its own, without a user, a path, a slash at the end or blanks (etcd3 cannot connect to a host of another form)',
      withoutUser(host),
    );
  }
}

/** @throws {InvalidInputError} */
export function checkWork(work: unknown, election: string): void {
  if (typeof work === 'function') return;
  throw new InvalidInputError(
    election,
    `work for lead() in election "${election}": expected a function, got ${shown(work)}`,
  );
}

/**
 * @param names names of the valid options.
 * @throws {InvalidInputError}
 */
export function checkSignal(
  options: unknown,
  election: string,
  names: readonly string[] = ['signal'],
): AbortSignal | undefined {
  const refuse = (expected: string, came: string): never => {
    throw new InvalidInputError(
      election,
      `options for election "${election}": expected ${expected}, got ${came}`,
    );
  };
  if (options === undefined) return undefined;
  // A signal has no property `signal`, so it would count as empty options.
  if (isAbortSignal(options)) return refuse('{ signal }', 'the signal itself');
  if (!isObject(options)) return refuse('{ signal?: AbortSignal }', shown(options));
  const unknown = Object.keys(options).find((name) => !names.includes(name));
  if (unknown !== undefined) return refuse(`only the options ${names.join(', ')}`, `"${unknown}"`);
  const { signal } = options;
  if (signal === undefined || isAbortSignal(signal)) return signal;
  return refuse(`{ signal } with ${A_SIGNAL}`, shown(signal));
}

/** @throws {InvalidInputError} */
export function checkTxnOptions(options: unknown, election: string): { exactlyOnce: boolean } {
  const what = `options of a transaction in election "${election}"`;
  if (options !== undefined && !isObject(options))
    throw new InvalidInputError(election, `${what}: expected an object, got ${shown(options)}`);
  const { exactlyOnce = false, ...others } = options ?? {};
  const [unknown] = Object.keys(others);
  if (unknown !== undefined)
    throw new InvalidInputError(election, `${what}: there is no option "${unknown}"`);
  if (typeof exactlyOnce !== 'boolean')
    throw new InvalidInputError(
      election,
      `${what}: exactlyOnce: expected a boolean, got ${shown(exactlyOnce)}`,
    );
  return { exactlyOnce };
}

/** @throws {InvalidInputError} */
export function checkBytes(bytes: unknown, what: string, election: string, atLeast = 0): void {
  const isBytes = typeof bytes === 'string' || bytes instanceof Uint8Array;
  const isLongEnough = isBytes && bytes.length >= atLeast;
  if (isLongEnough && (typeof bytes !== 'string' || isWellFormed(bytes))) return;
  const expected = isLongEnough
    ? 'well-formed Unicode (otherwise etcd would store a different text)'
    : `a string or bytes${atLeast > 0 ? ', not empty' : ''}`;
  throw new InvalidInputError(election, `${what}: expected ${expected}, got ${shown(bytes)}`);
}

/** @throws {InvalidInputError} */
export function checkValue(value: unknown, election: string): asserts value is string {
  const refuse = (expected: string, came: string): never => {
    throw new InvalidInputError(
      election,
      `value announced in election "${election}": expected a string of ${expected}, got ${came}`,
    );
  };
  if (typeof value !== 'string') return refuse(`at most ${LONGEST_VALUE_BYTES} bytes`, shown(value));
  const bytes = Buffer.byteLength(value);
  if (bytes > LONGEST_VALUE_BYTES) refuse(`at most ${LONGEST_VALUE_BYTES} bytes`, `${bytes} bytes`);
  if (!isWellFormed(value))
    refuse('well-formed Unicode (otherwise etcd would show a different value)', shown(value));
}
