/**
 * State that belongs to the process rather than to an object: found by key, shared by every copy of this package
 * that is loaded (ESM and CommonJS, two versions), bounded in number.
 */
const home = globalThis as { [key: symbol]: Map<string, Map<string, unknown>> | undefined };
const symbol = Symbol.for('etcd-election/1');

/** Beyond this many keys the one unused for longest is forgotten. */
const MOST_KEYS = 16_384;

export function shared<T>(kind: string, key: string, make: () => T): T {
  const kinds = (home[symbol] ??= new Map());
  let entries = kinds.get(kind) as Map<string, T> | undefined;
  if (entries === undefined) kinds.set(kind, (entries = new Map()));
  const entry = entries.get(key) ?? make();
  entries.delete(key); // and to the end again: a Map keeps the order of insertion
  entries.set(key, entry);
  if (entries.size > MOST_KEYS) entries.delete(entries.keys().next().value!);
  return entry;
}

/** What is there already under this key, if anything. */
export const known = <T>(kind: string, key: string): T | undefined =>
  home[symbol]?.get(kind)?.get(key) as T | undefined;

/** As {@link shared}, of an object rather than a name: it is forgotten with the object. */
export function sharedBy<T extends object>(kind: string, object: object, make: () => T): T {
  const byObject = shared(kind, '', () => new WeakMap<object, T>());
  let entry = byObject.get(object);
  if (entry === undefined) byObject.set(object, (entry = make()));
  return entry;
}

export function allShared<T>(kind: string): readonly T[] {
  return [...((home[symbol]?.get(kind) as Map<string, T> | undefined)?.values() ?? [])];
}
