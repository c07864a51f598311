/** Events in the world over time, written as one story: each `yield` lets this many milliseconds of true time pass. */
import type { VirtualTime } from '../process/scheduler.ts';

export type Story = Generator<number, void, void>;

/**
 * Runs a story from now on.
 * @param over is called at its end.
 */
export function tell(time: VirtualTime, story: Story, over: () => void = () => undefined): void {
  const step = (): void => {
    const { done, value } = story.next();
    if (done === true) over();
    else time.after(value, step);
  };
  step();
}

const LOOK_EVERY_MS = 10;

/**
 * Waits for a condition.
 * @returns whether it became true in time.
 */
export function* until(isTrue: () => boolean, withinMs: number): Generator<number, boolean, void> {
  for (let leftMs = withinMs; leftMs > 0; leftMs -= LOOK_EVERY_MS) {
    if (isTrue()) return true;
    yield LOOK_EVERY_MS;
  }
  return isTrue();
}
