/**
 * Keeps the queue of one election up to date. Reads the queue once, applies watch messages, and reads again after every break
 * of the watch.
 */
import type { Candidacy } from '../core/campaign-state.ts';
import { CandidateQueue } from '../core/candidate-queue.ts';
import type { TakenEntry } from './candidate-key.ts';
import type { EtcdError } from '../etcd/etcd-error.ts';
import type { EtcdTransport } from '../etcd/transport.ts';
import type { SharedWatch } from '../etcd/watch.ts';
import type { WatchHandle, WatchTarget } from '../etcd/watch-target.ts';
import { CALL_LIMIT_MS } from '../client/session.ts';
import { after, clock } from '../util/clock.ts';
import { QueueScope } from './queue-scope.ts';

export interface QueueListener {
  /** Whether the listener needs every change of the leader. Default: no. */
  readonly isLeaderWanted?: boolean;
  /** Called when the queue may have changed. */
  onChange(): void;
  /** Called when etcd refuses to show the queue. The watch of the queue has ended by then. */
  onRefused(fault: EtcdError): void;
  /** Called when the leader is no longer known, because etcd has confirmed nothing for one TTL. */
  onDoubt(): void;
}

/** The state from one start of the watcher to its stop. */
interface Run {
  readonly scope: QueueScope;
  readonly own: Candidacy | undefined;
  readonly readWithinMs: number;
  isOver: boolean;
  /** How many reads are under way. The next read is planned when all have ended. */
  reading: number;
  /** The number of the last read that was sent. */
  asked: number;
  /** The number of the read whose answer is shown, and the revision of that answer. */
  shown: number;
  shownRevision: bigint;
}

export class QueueWatcher {
  readonly queue: CandidateQueue = new CandidateQueue();
  readonly #keyPrefix: string;
  readonly #transport: EtcdTransport;
  readonly #sharedWatch: SharedWatch;
  readonly #listener: QueueListener;
  /** Our candidacy, if etcd has reported that its key is deleted. */
  #deleted: Candidacy | undefined;
  #run: Run | undefined;
  #handle: WatchHandle | undefined;
  /** Whether the leader was asked for while it was unknown. */
  #isLeaderAsked = false;
  #next: { readonly dueAtMs: number; readonly cancel: () => void } | undefined;
  #noticeWithinMs = 0;
  /** When etcd last showed or confirmed the queue, or the watcher first started; undefined before that. */
  #confirmedAtMs: number | undefined;
  #cancelDoubt: (() => void) | undefined;

  constructor(
    source: {
      readonly keyPrefix: string;
      readonly transport: EtcdTransport;
      readonly sharedWatch: SharedWatch;
    },
    listener: QueueListener,
  ) {
    this.#keyPrefix = source.keyPrefix;
    this.#transport = source.transport;
    this.#sharedWatch = source.sharedWatch;
    this.#listener = listener;
  }

  isDeleted(candidacy: Candidacy | undefined): boolean {
    return candidacy !== undefined && candidacy === this.#deleted;
  }

  /** Whether etcd has shown or confirmed the queue within the last TTL. After {@link stop} it becomes false within one TTL. */
  get isConfirmed(): boolean {
    return this.#trustedForMs > 0;
  }

  get #trustedForMs(): number {
    const { NEGATIVE_INFINITY } = Number;
    return (this.#confirmedAtMs ?? NEGATIVE_INFINITY) + this.#noticeWithinMs - clock.now();
  }

  #confirm(atMs: number): void {
    this.#confirmedAtMs = Math.max(this.#confirmedAtMs ?? atMs, atMs);
    if (this.#cancelDoubt === undefined && this.isConfirmed) this.#awaitDoubt();
  }

  /**
   * Sets the timer for `onDoubt`. A confirmation does not move this timer. If it fires too early, it is set again for the
   * remaining time.
   */
  #awaitDoubt(): void {
    this.#cancelDoubt = after(Math.max(1, this.#trustedForMs), () => {
      if (this.isConfirmed) return this.#awaitDoubt();
      this.#cancelDoubt = undefined;
      this.#listener.onDoubt();
    });
  }

  /**
   * @param entry our entry, whose answer shows the queue. Without an entry, or if the answer hides candidates, the watcher
   *   reads the queue first.
   * @param noticeWithinMs how soon a silent watch must be noticed, in milliseconds.
   */
  start(entry: TakenEntry | undefined, noticeWithinMs: number): void {
    this.stop();
    this.#noticeWithinMs = noticeWithinMs;
    // The answer to our entry shows the queue, and so confirms it. Without an entry, the first start counts as a
    // confirmation. So the first read has one TTL before the leader counts as unknown. A restart does not count.
    if (entry !== undefined || this.#confirmedAtMs === undefined)
      this.#confirm(entry?.askedAtMs ?? clock.now());
    const source = { keyPrefix: this.#keyPrefix, transport: this.#transport };
    const run: Run = {
      scope: new QueueScope(source, this.queue, entry),
      own: entry?.candidacy,
      // A silent member must not delay the next try longer than a silent watch stream does.
      readWithinMs: Math.min(CALL_LIMIT_MS, noticeWithinMs / 3),
      isOver: false,
      reading: 0,
      asked: 0,
      shown: 0,
      shownRevision: 0n,
    };
    this.#run = run;
    const readAt = entry?.hidden === 0 ? entry.revision : undefined;
    this.#handle = this.#sharedWatch.watch(this.#targetOf(run), noticeWithinMs, readAt);
  }

  #targetOf(run: Run): WatchTarget {
    return {
      keyPrefix: this.#keyPrefix,
      keys: () => run.scope.keys,
      reload: async (signal) => {
        run.reading++;
        try {
          return await this.#reload(run, signal);
        } finally {
          run.reading--;
          if (!run.isOver) this.#planRead();
        }
      },
      onEvents: (events) => {
        for (const event of events) {
          this.queue.apply(event);
          if (event.type === 'delete' && event.key === run.own?.key) this.#deleted = run.own;
        }
        this.#listener.onChange();
        if (!run.isOver) this.#planRead();
      },
      onConfirmed: (atMs) => {
        const wasInDoubt = !this.isConfirmed;
        this.#confirm(atMs);
        if (wasInDoubt) this.#listener.onChange();
      },
      onRefused: (fault) => this.#listener.onRefused(fault),
    };
  }

  async #reload(run: Run, signal: AbortSignal): Promise<bigint> {
    const readNumber = ++run.asked;
    const askedAtMs = clock.now();
    const read = await run.scope.read({ withinMs: run.readWithinMs, signal }, this.#isLeaderWanted);
    // Ignores the answer if the watch has ended, or if a newer answer is shown. The watch then continues from the newer answer.
    if (run.isOver) return read.revision;
    if (readNumber < run.shown) return run.shownRevision;
    run.shown = readNumber;
    run.shownRevision = read.revision;
    read.show();
    this.#confirm(askedAtMs);
    this.#isLeaderAsked &&= this.queue.isLeaderUnknown;
    this.#listener.onChange();
    return read.revision;
  }

  /** Requests a read of the leader. To spare etcd, the read has a delay that grows with the queue. */
  askLeader(): void {
    if (this.#isLeaderAsked) return;
    this.#isLeaderAsked = true;
    this.#planRead();
  }

  get #isLeaderWanted(): boolean {
    return this.#isLeaderAsked || this.#listener.isLeaderWanted === true;
  }

  #planRead(): void {
    const run = this.#run;
    const dueAtMs = run?.reading === 0 ? run.scope.planRead(this.#isLeaderWanted) : undefined;
    if (this.#next !== undefined && this.#next.dueAtMs === dueAtMs) return;
    this.#next?.cancel();
    this.#next = undefined;
    if (dueAtMs === undefined) return;
    const cancel = after(dueAtMs - clock.now(), () => {
      this.#next = undefined;
      if (clock.now() < dueAtMs) return this.#planRead();
      this.#handle?.readAgain();
    });
    this.#next = { dueAtMs, cancel };
  }

  stop(): void {
    if (this.#run !== undefined) this.#run.isOver = true;
    this.#run = undefined;
    this.#handle?.end();
    this.#handle = undefined;
    this.#isLeaderAsked = false;
    this.#next?.cancel();
    this.#next = undefined;
  }

  /** Stops for good. The listener is not called again. */
  close(): void {
    this.stop();
    this.#cancelDoubt?.();
  }
}
