import { performance } from 'node:perf_hooks';
import type { Turning } from './classify.ts';

/** Measures how the event loop of this thread turned since the last call. A call takes microseconds. */
export class Turns {
  #utilization = performance.eventLoopUtilization();
  #counted = countersOf();

  sinceLastTime(): Turning {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, this.#utilization);
    const counted = countersOf();
    const turning = {
      utilization,
      turns: difference(counted?.loopCount, this.#counted?.loopCount),
      events: difference(counted?.events, this.#counted?.events),
    };
    this.#utilization = now;
    this.#counted = counted;
    return turning;
  }
}

/** undefined on runtimes without this part of Node's API. */
function countersOf(): { loopCount: number; events: number } | undefined {
  const { nodeTiming } = performance as {
    nodeTiming?: { uvMetricsInfo?: { loopCount: number; events: number } };
  };
  return nodeTiming?.uvMetricsInfo;
}

const difference = (now: number | undefined, before: number | undefined): number | undefined =>
  now === undefined || before === undefined ? undefined : now - before;
