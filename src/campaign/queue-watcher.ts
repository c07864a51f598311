/**
 * Keeps the candidate queue of one election up to date: read once, then changed by watch messages, read again after every break.
 * A candidate far back keeps only a part of it, and reads again when that part has changed: see queue-scope.
 */
import type { Candidacy } from '../core/campaign-state.ts';
import { CandidateQueue } from '../core/candidate-queue.ts';
import type { Entry } from '../etcd/election-keys.ts';
import type { EtcdError } from '../etcd/etcd-error.ts';
import type { EtcdTransport } from '../etcd/transport.ts';
import type { SharedWatch } from '../etcd/watch.ts';
import type { WatchHandle } from '../etcd/watch-target.ts';
import { CALL_LIMIT_MS } from '../client/session.ts';
import { after, clock } from '../util/clock.ts';
import { QueueScope } from './queue-scope.ts';

export interface QueueListener {
  /** Whether every change of the leader is listened to. Default: no. */
  readonly isLeaderWanted?: boolean;
  /** The queue may have changed. */
  onChange(): void;
  /** etcd refuses to show it: the watcher is done. */
  onRefused(fault: EtcdError): void;
  /** etcd has confirmed nothing for as long as a watch may be silent: who leads is not known any more. */
  onDoubt(): void;
}

export class QueueWatcher {
  readonly queue: CandidateQueue = new CandidateQueue();
  readonly #electionKeys: string;
  readonly #transport: EtcdTransport;
  readonly #sharedWatch: SharedWatch;
  readonly #listener: QueueListener;
  /** The candidacy of ours whose key etcd has told us is deleted. */
  #deleted: Candidacy | undefined;
  #stop: (() => void) | undefined;
  #scope: QueueScope | undefined;
  #handle: WatchHandle | undefined;
  /** How many reads are under way: when they end, it is seen whether another one is due. */
  #reading = 0;
  /** Whether somebody has asked for a leader that is not known. */
  #isLeaderAsked = false;
  #next: { readonly dueAtMs: number; readonly cancel: () => void } | undefined;
  #noticeWithinMs = 0;
  /** When what is shown was last known to be true; undefined before the first start. */
  #confirmedAtMs: number | undefined;
  /** Ends the wait for a doubt; undefined while there is none. */
  #cancelDoubt: (() => void) | undefined;

  constructor(
    source: {
      readonly electionKeys: string;
      readonly transport: EtcdTransport;
      readonly sharedWatch: SharedWatch;
    },
    listener: QueueListener,
  ) {
    this.#electionKeys = source.electionKeys;
    this.#transport = source.transport;
    this.#sharedWatch = source.sharedWatch;
    this.#listener = listener;
  }

  /** Whether etcd has told us that the key of this candidacy is deleted: there is nothing left to give up. */
  isDeleted(candidacy: Candidacy | undefined): boolean {
    return candidacy !== undefined && candidacy === this.#deleted;
  }

  /** Whether etcd has shown or confirmed the queue within the last TTL. It ages on after {@link stop}. */
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

  /** The time counts, not the timer: it is set again for what is left. */
  #awaitDoubt(): void {
    this.#cancelDoubt = after(Math.max(1, this.#trustedForMs), () => {
      if (this.isConfirmed) return this.#awaitDoubt();
      this.#cancelDoubt = undefined;
      this.#listener.onDoubt();
    });
  }

  /**
   * @param entry of ours, with which the queue has just been read; without it the watcher reads it first.
   * @param noticeWithinMs how soon a watch that fell silent must be noticed, in milliseconds.
   */
  start(entry: Entry | undefined, noticeWithinMs: number): void {
    this.stop();
    this.#noticeWithinMs = noticeWithinMs;
    // After a refusal it starts anew, and has learnt nothing meanwhile.
    if (entry !== undefined || this.#confirmedAtMs === undefined) this.#confirm(clock.now());
    // A member that keeps silent must not keep the next try waiting for longer than the watch itself may be silent.
    const readWithinMs = Math.min(CALL_LIMIT_MS, noticeWithinMs / 3);
    const scope = new QueueScope(
      { electionKeys: this.#electionKeys, transport: this.#transport },
      this.queue,
      entry,
    );
    this.#scope = scope;
    const own = entry?.candidacy; // not the entry: it holds the queue as it was then
    let isOver = false;
    let asked = 0;
    let shown = 0;
    const reload = async (signal: AbortSignal): Promise<bigint> => {
      const turn = ++asked;
      const askedAtMs = clock.now();
      const read = await scope.read({ withinMs: readWithinMs, signal }, this.#isLeaderWanted);
      // An answer that came after its watch was over is older than what is known by now.
      // So is one to a question that was asked before the one that is shown.
      if (isOver || turn < shown) return read.revision;
      shown = turn;
      read.show();
      this.#confirm(askedAtMs);
      this.#isLeaderAsked &&= this.queue.isLeaderUnknown;
      this.#listener.onChange();
      return read.revision;
    };
    const handle = this.#sharedWatch.watch(
      {
        electionKeys: this.#electionKeys,
        get keys() {
          return scope.keys;
        },
        reload: async (signal) => {
          this.#reading++;
          try {
            return await reload(signal);
          } finally {
            if (!isOver) this.#readEnded();
          }
        },
        onEvents: (events) => {
          for (const event of events) {
            this.queue.apply(event);
            if (event.type === 'delete' && event.key === own?.key) this.#deleted = own;
          }
          this.#listener.onChange();
          if (!isOver) this.#planRead();
        },
        onConfirmed: (atMs) => {
          const wasInDoubt = !this.isConfirmed;
          this.#confirm(atMs);
          if (wasInDoubt) this.#listener.onChange();
        },
        onRefused: (fault) => this.#listener.onRefused(fault),
      },
      noticeWithinMs,
      entry?.hidden === 0 ? entry.revision : undefined,
    );
    this.#handle = handle;
    this.#stop = () => {
      isOver = true;
      handle.end();
    };
  }

  /** Somebody asks for a leader that is not known: it is read as soon as that is fair to etcd. */
  askLeader(): void {
    if (this.#isLeaderAsked) return;
    this.#isLeaderAsked = true;
    this.#planRead();
  }

  get #isLeaderWanted(): boolean {
    return this.#isLeaderAsked || this.#listener.isLeaderWanted === true;
  }

  #readEnded(): void {
    this.#reading--;
    this.#planRead();
  }

  /** One timer for the next read; each read is caused by candidates that have gone, or by those who ask for the leader. */
  #planRead(): void {
    const dueAtMs = this.#reading > 0 ? undefined : this.#scope?.dueAtMs(this.#isLeaderWanted);
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
    this.#stop?.();
    this.#stop = undefined;
    this.#handle = undefined;
    this.#scope = undefined;
    this.#reading = 0;
    this.#isLeaderAsked = false;
    this.#next?.cancel();
    this.#next = undefined;
  }

  /** For good: nothing is told any more. */
  close(): void {
    this.stop();
    this.#cancelDoubt?.();
  }
}
