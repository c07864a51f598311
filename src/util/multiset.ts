/**
 * Counts equal values, and iterates over each value once. A value is gone once it has been removed as often as it was added.
 */
export class Multiset<T> implements Iterable<T> {
  readonly #counts = new Map<T, number>();

  add(value: T): void {
    this.#counts.set(value, (this.#counts.get(value) ?? 0) + 1);
  }

  remove(value: T): void {
    const left = (this.#counts.get(value) ?? 0) - 1;
    if (left > 0) this.#counts.set(value, left);
    else this.#counts.delete(value);
  }

  [Symbol.iterator](): IterableIterator<T> {
    return this.#counts.keys();
  }
}
