/** Virtual time: a queue of events in order of time. Nothing waits; the world jumps from one event to the next. */

export interface Event {
  readonly atMs: number;
  /** Of two events at the same time, the one that was scheduled first runs first. */
  readonly order: number;
  /** Undefined if it was cancelled. */
  run: (() => void) | undefined;
}

/** A nanosecond. An addition to a time must change it. */
const LEAST_MS = 1e-6;

export class VirtualTime {
  #nowMs = 0;
  #order = 0;
  #events = 0;
  readonly #heap: Event[] = [];

  /** True time, in milliseconds since the world began. */
  readonly now = (): number => this.#nowMs;

  /** The number of events that have run. */
  get events(): number {
    return this.#events;
  }

  /** @returns a function that cancels the event. */
  readonly after = (ms: number, run: () => void): (() => void) =>
    this.at(this.#nowMs + (ms > 0 ? Math.max(ms, LEAST_MS) : 0), run);

  at(atMs: number, run: () => void): () => void {
    const event: Event = { atMs: Math.max(atMs, this.#nowMs), order: this.#order++, run };
    push(this.#heap, event);
    return () => {
      event.run = undefined;
    };
  }

  /**
   * Runs all events until a moment.
   * @param isOver is called after each event, and ends the run early.
   */
  runUntil(untilMs: number, isOver: () => boolean): void {
    for (;;) {
      const next = this.#heap[0];
      if (next === undefined || next.atMs > untilMs) break;
      pop(this.#heap);
      if (next.run === undefined) continue;
      this.#nowMs = next.atMs;
      this.#events++;
      next.run();
      if (isOver()) return;
    }
    this.#nowMs = untilMs;
  }
}

const isBefore = (a: Event, b: Event): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

/** Adds an event to a heap, of which the first element is the next event. */
export function push(heap: Event[], event: Event): void {
  let index = heap.push(event) - 1;
  while (index > 0) {
    const parent = (index - 1) >> 1;
    if (!isBefore(event, heap[parent]!)) break;
    heap[index] = heap[parent]!;
    index = parent;
  }
  heap[index] = event;
}

/** Removes the next event. */
export function pop(heap: Event[]): void {
  const last = heap.pop()!;
  if (heap.length === 0) return;
  let index = 0;
  for (;;) {
    let child = 2 * index + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
    if (!isBefore(heap[child]!, last)) break;
    heap[index] = heap[child]!;
    index = child;
  }
  heap[index] = last;
}
