/**
 * Keeps state that belongs to the process, by key. All loaded copies of this package share the state: ESM and CommonJS,
 * and other versions.
 */

const home = globalThis as { [key: symbol]: Map<string, Map<string, unknown>> | undefined };
const symbol = Symbol.for('etcd-election/1');

/** The most keys of one kind. If there are more, the least recently used key is dropped. */
const MOST_KEYS = 16_384;

export function shared<T>(kind: string, key: string, make: () => T): T {
  const kinds = (home[symbol] ??= new Map());
  let entries = kinds.get(kind) as Map<string, T> | undefined;
  if (entries === undefined) kinds.set(kind, (entries = new Map()));
  const entry = entries.get(key) ?? make();
  entries.delete(key); // moves the key to the end, because a Map keeps the order of insertion
  entries.set(key, entry);
  if (entries.size > MOST_KEYS) entries.delete(entries.keys().next().value!);
  return entry;
}

export const known = <T>(kind: string, key: string): T | undefined =>
  home[symbol]?.get(kind)?.get(key) as T | undefined;

/** Like {@link shared}, with an object instead of a key. The state is garbage-collected together with the object. */
export function sharedBy<T extends object>(kind: string, object: object, make: () => T): T {
  const byObject = shared(kind, '', () => new WeakMap<object, T>());
  let entry = byObject.get(object);
  if (entry === undefined) byObject.set(object, (entry = make()));
  return entry;
}

export function allShared<T>(kind: string): readonly T[] {
  return [...((home[symbol]?.get(kind) as Map<string, T> | undefined)?.values() ?? [])];
}
