/**
 * The leader as an async iterable. It needs no lease and no campaign.
 */
import { SHORTEST_TTL_SECONDS } from '../core/deadline.ts';
import { onAbort } from '../util/abort.ts';
import type { CampaignTools } from './campaign-tools.ts';
import { seen, type Candidate } from '../core/candidate.ts';
import type { QueuedCandidate } from '../core/candidate-queue.ts';
import { EtcdError } from '../etcd/etcd-error.ts';
import type { EtcdTransport } from '../etcd/transport.ts';
import type { SharedWatch } from '../etcd/watch.ts';
import { withImmediateReturn } from './iteration.ts';
import { readError } from '../etcd/user-errors.ts';
import { Refusal } from './refusal.ts';
import { QueueWatcher } from './queue-watcher.ts';

interface ObserverTools {
  readonly keyPrefix: string;
  readonly transport: EtcdTransport;
  readonly sharedWatch: SharedWatch;
  readonly noticeWithinMs: number;
  /** Ends the iteration when it aborts. */
  readonly over: AbortController;
  /**
   * Other signals that end the iteration. `AbortSignal.any` could lose a timeout signal to garbage collection, so it is not used.
   */
  readonly until: readonly AbortSignal[];
  /**
   * Waits until an iteration may begin.
   *
   * @param isEmpty whether the iteration ends at once.
   * @returns a function to call at the end of the iteration.
   */
  begin(isEmpty: boolean): Promise<() => void>;
  /** Waits until the first request to etcd may be sent. @returns a function to call when there is an answer. */
  mayWatch(signal: AbortSignal): Promise<() => void>;
  /** A refusal by etcd after its first answer. We keep trying until the refusal ends. */
  readonly refusal: Refusal;
  /** Creates the error that ends the iteration if etcd refuses at the start, or for good. */
  refused(fault: EtcdError): Error;
  /** Converts a candidate for the reader; undefined if it is our own and our lease has run out. */
  readonly see: (candidate: QueuedCandidate) => Candidate | undefined;
  /** Calls the listener when our own lease has run out. @returns a function that removes it. */
  onLeaseLost(listener: () => void): () => void;
}

/** The leader; `undefined` if there is none; `null` if the leader is unknown. */
export type Observed = Candidate | undefined | null;

export interface Observing {
  /** Aborts on `close()`. */
  readonly closing: AbortSignal;
  readonly last: { readonly ownKey: string | undefined; readonly isLeaseLost: boolean } | undefined;
}

function seenBy({ last }: Observing, candidate: QueuedCandidate): Candidate | undefined {
  const isOurs = candidate.key === last?.ownKey;
  return isOurs && last?.isLeaseLost === true ? undefined : seen(candidate, last?.ownKey);
}

/**
 * Creates one iteration over the leaders of an election. Nothing is sent to etcd before the reader asks for the first leader.
 *
 * @param asked the signal of the caller, which also ends the iteration.
 */
export function observe(
  { callers, eventLog, refusalBackoff, report, leaseLosses, sharedLog, ...tools }: CampaignTools,
  observing: Observing,
  asked: AbortSignal | undefined,
): AsyncGenerator<Observed, void, void> {
  const over = new AbortController();
  const { election, settings } = tools;
  const { closing } = observing;
  const leaders = observeLeader({
    keyPrefix: tools.keyPrefix,
    transport: tools.transport,
    sharedWatch: tools.sharedWatch,
    noticeWithinMs: Math.max(settings.ttlSeconds, SHORTEST_TTL_SECONDS) * 1000,
    over,
    until: asked === undefined ? [closing] : [closing, asked],
    begin: async (isEmpty) => {
      const end = await callers.iteration(leaders, { isEmpty, closing }, (count) =>
        eventLog.report({ type: 'observers.many', election, count }),
      );
      const endLog = sharedLog.begin(eventLog);
      return () => {
        endLog();
        end();
      };
    },
    mayWatch: (signal) => callers.watch(signal),
    refusal: new Refusal(refusalBackoff, (reason, forMs) => report.refused(reason, forMs)),
    refused: (fault) => readError(election, fault),
    see: (candidate) => seenBy(observing, candidate),
    onLeaseLost: (listener) => {
      leaseLosses.add(listener);
      return () => leaseLosses.delete(listener);
    },
  });
  return withImmediateReturn(leaders, over, callers);
}

/**
 * Yields the leader as soon as it is known, and then at every change. A slow reader gets only the newest state.
 */
async function* observeLeader(tools: ObserverTools): AsyncGenerator<Observed, void, void> {
  const { signal } = tools.over;
  const stop = (): void => tools.over.abort();
  if (tools.until.some(({ aborted }) => aborted)) stop();
  const offs = tools.until.map((each) => onAbort(each, stop));
  let end: (() => void) | undefined;
  try {
    end = await tools.begin(signal.aborted);
    onAbort(signal, end); // a reader that is busy, or has dropped the iteration, may never come back
    if (!signal.aborted) yield* changes(tools, signal);
  } finally {
    end?.();
    for (const off of offs) off();
  }
}

/** One read and one watch, shared by all observers of one election, client and TTL. */
class SharedWatcher {
  readonly #wakes = new Set<() => void>();
  readonly #over = new AbortController();
  readonly #onOver: () => void;
  /**
   * Called at the earliest of these: the first answer, the moment from which the leader counts as unknown, the end. From
   * then on the read does not count towards the limit of reads.
   */
  #answered: () => void = () => undefined;
  readonly queueWatcher: QueueWatcher;
  isKnown = false;
  #isInDoubt = false;
  /** The error with which every iteration ends; undefined while the watcher runs. */
  failure: Error | undefined;

  /** @param onOver called when later iterations need a new watcher. */
  constructor(tools: ObserverTools, onOver: () => void) {
    this.#onOver = onOver;
    this.queueWatcher = new QueueWatcher(tools, {
      onChange: () => {
        this.isKnown = true;
        this.#isInDoubt = false;
        tools.refusal.over();
        this.#wake();
      },
      onRefused: (fault) => {
        if (!this.isKnown || fault.kind === 'client-closed') return this.#fail(fault);
        tools.refusal.note(fault);
        void tools.refusal.pass(this.#over.signal).then(() => {
          if (!this.#over.signal.aborted) this.queueWatcher.start(undefined, tools.noticeWithinMs);
        });
      },
      onDoubt: () => {
        this.#isInDoubt = true;
        this.#wake();
      },
    });
    void this.#start(tools);
  }

  /** The state to show now; undefined before the first answer. One TTL without an answer makes the leader unknown. */
  now(see: ObserverTools['see']): { readonly leader: Observed } | undefined {
    if (this.#isInDoubt || (this.isKnown && !this.queueWatcher.isConfirmed)) return { leader: null };
    if (!this.isKnown) return undefined;
    const { leader } = this.queueWatcher.queue;
    return { leader: leader === undefined ? undefined : (see(leader) ?? null) };
  }

  async #start(tools: ObserverTools): Promise<void> {
    try {
      this.#answered = await tools.mayWatch(this.#over.signal);
      if (this.#over.signal.aborted) this.#answered();
      else this.queueWatcher.start(undefined, tools.noticeWithinMs);
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  #fail(failure: Error): void {
    this.failure = failure;
    this.#onOver();
    this.#wake();
  }

  #wake(): void {
    this.#answered();
    for (const wake of this.#wakes) wake();
  }

  join(wake: () => void): void {
    this.#wakes.add(wake);
  }

  leave(wake: () => void): void {
    if (!this.#wakes.delete(wake) || this.#wakes.size > 0) return;
    this.#over.abort();
    this.#answered();
    this.queueWatcher.close();
    this.#onOver();
  }
}

const watchers = new WeakMap<SharedWatch, Map<string, SharedWatcher>>();

function watcherOf(tools: ObserverTools): SharedWatcher {
  let ofClient = watchers.get(tools.sharedWatch);
  if (ofClient === undefined) watchers.set(tools.sharedWatch, (ofClient = new Map()));
  const key = `${tools.noticeWithinMs}|${tools.keyPrefix}`;
  const present = ofClient.get(key);
  if (present !== undefined) return present;
  const watcher = new SharedWatcher(tools, () => {
    if (ofClient.get(key) === watcher) ofClient.delete(key);
  });
  ofClient.set(key, watcher);
  return watcher;
}

async function* changes(tools: ObserverTools, signal: AbortSignal): AsyncGenerator<Observed, void, void> {
  let resume: () => void = () => undefined;
  const wake = (): void => resume();
  const shared = watcherOf(tools);
  const over = (): void => {
    shared.leave(wake); // leave now, even if the reader never asks for the next state
    wake();
  };
  shared.join(wake);
  signal.addEventListener('abort', over);
  const offLease = tools.onLeaseLost(wake);
  let yielded: { readonly leader: Observed } | undefined;
  try {
    while (!signal.aborted) {
      const now = shared.now(tools.see);
      if (now !== undefined && (yielded === undefined || !same(yielded.leader, now.leader))) {
        yielded = now;
        yield now.leader;
        continue; // the leader may have changed while the reader was busy
      }
      const { failure } = shared;
      if (failure !== undefined) throw failure instanceof EtcdError ? tools.refused(failure) : failure;
      await new Promise<void>((resolve) => (resume = resolve));
    }
  } finally {
    signal.removeEventListener('abort', over);
    offLease();
    shared.leave(wake);
  }
}

const same = (a: Observed, b: Observed): boolean =>
  a && b ? a.fencingToken === b.fencingToken && a.value === b.value : a === b;
