/** The world's virtual time, moved by hand, for tests of the model alone. */
import { VirtualTime } from '../process/scheduler.ts';

export class ModelTime extends VirtualTime {
  /** Runs all events up to this moment. Time never goes back. */
  runTo(atMs: number): void {
    this.runUntil(Math.max(atMs, this.now()), () => false);
  }

  runFor(ms: number): void {
    this.runTo(this.now() + ms);
  }

  /** @throws {Error} if the condition does not become true within the limit. */
  runUntilTrue(isTrue: () => boolean, withinMs = 60_000): void {
    if (isTrue()) return;
    this.runUntil(this.now() + withinMs, isTrue);
    if (!isTrue()) throw new Error(`not within ${withinMs} ms`);
  }
}
