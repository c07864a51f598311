/**
 * Who leads now, as an async iterable: needs no lease and no candidacy, says "nobody" too, and heals itself.
 */
import { onAbort } from './abort.ts';
import type { Candidate } from './core/roster.ts';
import type { EtcdFault } from './etcd/fault.ts';
import type { Link } from './etcd/link.ts';
import type { WatchHub } from './etcd/watch.ts';
import type { Refusal } from './refusal.ts';
import { RosterFeed } from './roster-feed.ts';

export interface ObserverTools {
  readonly electionKeys: string;
  readonly link: Link;
  readonly hub: WatchHub;
  readonly noticeWithinMs: number;
  /** Ends the iteration when it aborts, and is aborted when the iteration ends. */
  readonly over: AbortController;
  /**
   * What else ends it. They are listened to, not joined by `AbortSignal.any`: that holds its sources so loosely that
   * an `AbortSignal.timeout()` which nobody else keeps is collected, and never fires.
   */
  readonly until: readonly AbortSignal[];
  /** Passed before anything is asked of etcd. */
  mayBegin(signal: AbortSignal): Promise<void>;
  /** What etcd refuses after it has shown us a leader once: then we try on. */
  readonly refusal: Refusal;
  /** Makes the error that the iteration ends with where etcd refuses at the start, or for good. */
  refused(fault: EtcdFault): Error;
}

/**
 * Yields the leader as soon as it is known, then at every change. Only the newest state is kept for a reader who
 * is slow: an observer wants to know who leads, not who led.
 */
export async function* observeLeader(
  tools: ObserverTools,
): AsyncGenerator<Candidate | undefined, void, void> {
  const { signal } = tools.over;
  const stop = (): void => tools.over.abort();
  if (tools.until.some(({ aborted }) => aborted)) stop();
  const offs = tools.until.map((each) => onAbort(each, stop));
  try {
    await tools.mayBegin(signal);
    if (!signal.aborted) yield* changes(tools, signal);
  } finally {
    for (const off of offs) off();
  }
}

/**
 * A generator's own `return()` and `throw()` wait behind a `next()` that is under way, and that may wait for hours:
 * they end it first. `Symbol.asyncDispose` is `return()`; Node 20 does not give it to generators.
 */
export function endsAtOnce<T>(
  leaders: AsyncGenerator<T, void, void>,
  over: AbortController,
): AsyncGenerator<T, void, void> {
  const end = leaders.return.bind(leaders);
  const fail = leaders.throw.bind(leaders);
  return Object.assign(leaders, {
    return(value: void | PromiseLike<void>) {
      over.abort();
      return end(value);
    },
    throw(error: unknown) {
      over.abort();
      return fail(error);
    },
    async [Symbol.asyncDispose]() {
      await leaders.return();
    },
  });
}

async function* changes(
  tools: ObserverTools,
  signal: AbortSignal,
): AsyncGenerator<Candidate | undefined, void, void> {
  let wake: () => void = () => undefined;
  let known = false;
  let refused: Error | undefined;
  const feed = new RosterFeed(tools, {
    onChange: () => {
      known = true;
      tools.refusal.over();
      wake();
    },
    onRefused: (fault) => {
      if (!known || fault.kind === 'client-closed') refused = tools.refused(fault);
      else {
        tools.refusal.note(fault);
        void tools.refusal.pass(signal).then(() => {
          if (!signal.aborted) feed.start();
        });
      }
      wake();
    },
  });
  const stop = (): void => wake();
  signal.addEventListener('abort', stop);
  let said: { leader: Candidate | undefined } | undefined;
  feed.start();
  try {
    while (!signal.aborted) {
      const { leader } = feed.roster;
      if (known && (said === undefined || !same(said.leader, leader))) {
        said = { leader };
        yield leader;
        continue; // it may have changed while the reader was busy
      }
      if (refused !== undefined) throw refused;
      await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    signal.removeEventListener('abort', stop);
    feed.stop();
  }
}

const same = (a: Candidate | undefined, b: Candidate | undefined): boolean =>
  a?.fencingToken === b?.fencingToken && a?.value === b?.value;
