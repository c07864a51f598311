/**
 * Who leads now, as an async iterable: needs no lease and no candidacy, also says "none" and "not known", and heals
 * itself.
 */
import { SHORTEST_TTL_SECONDS } from '../core/deadline.ts';
import { onAbort } from '../util/abort.ts';
import type { CampaignTools } from './campaign-tools.ts';
import type { Candidate } from '../core/candidate.ts';
import type { Candidate as Queued } from '../core/candidate-queue.ts';
import { EtcdError } from '../etcd/etcd-error.ts';
import type { EtcdTransport } from '../etcd/transport.ts';
import type { SharedWatch } from '../etcd/watch.ts';
import { endsAtOnce } from './iteration.ts';
import { readError } from '../etcd/user-errors.ts';
import { Refusal } from './refusal.ts';
import { QueueWatcher } from './queue-watcher.ts';

interface ObserverTools {
  readonly electionKeys: string;
  readonly transport: EtcdTransport;
  readonly sharedWatch: SharedWatch;
  readonly noticeWithinMs: number;
  /** Ends the iteration when it aborts, and is aborted when the iteration ends. */
  readonly over: AbortController;
  /**
   * What else ends it. They are listened to, not joined by `AbortSignal.any`: that holds its sources so loosely that
   * an `AbortSignal.timeout()` without another reference is collected, and never fires.
   */
  readonly until: readonly AbortSignal[];
  /** Passed by each iteration. @param isEmpty it is over already. @returns what to call when it ends. */
  begin(isEmpty: boolean): Promise<() => void>;
  /** Passed before anything is asked of etcd. @returns what to call when there is an answer. */
  mayWatch(signal: AbortSignal): Promise<() => void>;
  /** What etcd refuses after it has shown us a leader once: then we try on. */
  readonly refusal: Refusal;
  /** Makes the error that the iteration ends with where etcd refuses at the start, or for good. */
  refused(fault: EtcdError): Error;
  /** Makes of a candidate what the reader gets; undefined if it is our own, and our lease has run out. */
  readonly see: (candidate: Queued) => Candidate | undefined;
  /** Calls this when our own lease has run out. @returns what ends that. */
  onLeaseLost(listener: () => void): () => void;
}

/** The leader; `undefined` if nobody leads; `null` if it is not known who does. */
export type Observed = Candidate | undefined | null;

/** Who observes. */
export interface Observing {
  /** Aborts on `close()`. */
  readonly closing: AbortSignal;
  /** What else ends the iteration. */
  readonly asked: AbortSignal | undefined;
  /** Makes of a candidate what the reader gets; undefined if it is our own, and our lease has run out. */
  readonly see: (candidate: Queued) => Candidate | undefined;
}

/** One iteration over the leaders of an election; it asks nothing of etcd before it is read. */
export function observe(
  { callers, eventLog, refusalBackoff, report, leaseLosses, ...tools }: CampaignTools,
  { closing, asked, see }: Observing,
): AsyncGenerator<Observed, void, void> {
  const over = new AbortController();
  const { election, settings } = tools;
  const leaders = observeLeader({
    electionKeys: tools.electionKeys,
    transport: tools.transport,
    sharedWatch: tools.sharedWatch,
    noticeWithinMs: Math.max(settings.ttlSeconds, SHORTEST_TTL_SECONDS) * 1000,
    over,
    until: asked === undefined ? [closing] : [closing, asked],
    begin: (isEmpty) =>
      callers.iteration(leaders, { isEmpty, closing }, (count) =>
        eventLog.report({ type: 'observers.many', election, count }),
      ),
    mayWatch: (signal) => callers.watch(signal),
    refusal: new Refusal(refusalBackoff, (reason, forMs) => report.refused(reason, forMs)),
    refused: (fault) => readError(election, fault),
    see,
    onLeaseLost: (listener) => {
      leaseLosses.add(listener);
      return () => leaseLosses.delete(listener);
    },
  });
  return endsAtOnce(leaders, over, callers);
}

/**
 * Yields the leader as soon as it is known, then at every change. Only the newest state is kept for a reader who
 * is slow: an observer wants to know who leads, not who led.
 */
async function* observeLeader(tools: ObserverTools): AsyncGenerator<Observed, void, void> {
  const { signal } = tools.over;
  const stop = (): void => tools.over.abort();
  if (tools.until.some(({ aborted }) => aborted)) stop();
  const offs = tools.until.map((each) => onAbort(each, stop));
  let end: (() => void) | undefined;
  try {
    end = await tools.begin(signal.aborted);
    if (!signal.aborted) yield* changes(tools, signal);
  } finally {
    end?.();
    for (const off of offs) off();
  }
}

/** What the observers of one election and client look at together: one read and one watch, as long as one looks. */
class SharedWatcher {
  readonly #wakes = new Set<() => void>();
  readonly #over = new AbortController();
  readonly #onOver: () => void;
  /** Frees its place among the client's reads. */
  #answered: () => void = () => undefined;
  readonly queueWatcher: QueueWatcher;
  isKnown = false;
  #isInDoubt = false;
  /** What every iteration ends with; undefined while the watcher goes on. */
  failure: Error | undefined;

  /** @param onOver called when later iterations must begin a watcher of their own. */
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

  /** What is to be shown now; undefined before the first answer. */
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
  const key = `${tools.noticeWithinMs}|${tools.electionKeys}`;
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
    shared.leave(wake); // also if the reader never asks for the next one
    wake();
  };
  shared.join(wake);
  signal.addEventListener('abort', over);
  const offLease = tools.onLeaseLost(wake);
  let said: { readonly leader: Observed } | undefined;
  try {
    while (!signal.aborted) {
      const now = shared.now(tools.see);
      if (now !== undefined && (said === undefined || !same(said.leader, now.leader))) {
        said = now;
        yield now.leader;
        continue; // it may have changed while the reader was busy
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
