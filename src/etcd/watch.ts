/**
 * One watch stream for all elections and observers of a client.
 *
 * A watch is a hint; the range is the truth. Whatever happens to a watch (compaction, cancellation, a stream that
 * ends, breaks or falls silent), the way back is the same: one stream anew, through the guard, then every watch
 * reads its range again and goes on from there.
 */
import { sharedAbort } from '../util/abort.ts';
import type { IWatchRequest, IWatchResponse } from 'etcd3';
import type { QueueEvent } from '../core/candidate-queue.ts';
import { clock } from '../util/clock.ts';
import { candidateOf, isCandidateKey } from './election-keys.ts';
import { EtcdError, isFinal } from './etcd-error.ts';
import type { EtcdTransport } from './transport.ts';
import { WatchProbe } from './watch-probe.ts';
import { WatchRequests } from './watch-requests.ts';
import { WatchStream } from './watch-stream.ts';
import type { WatchHandle, WatchTarget } from './watch-target.ts';

export interface SharedWatchTools {
  readonly transport: EtcdTransport;
  /** The guard of everything that the client's elections share; passed before each try to get a stream back. */
  readonly backoff: {
    pass(signal: AbortSignal): Promise<void>;
    healthyFor(healthyMs: number): void;
    wake(): void;
  };
  onLost(reason: string): void;
  onHealed(afterMs: number): void;
  /** No watch could be confirmed for so long that all queues are read instead, until one is; told once. */
  onUnconfirmed(silentMs: number): void;
  /** Watches go through a proxy that gives them IDs of its own; told once. @param ttlSeconds the shortest of those who watch. */
  onProxied(ttlSeconds: number): void;
}

/** What etcd says to a watch whose token it does not take, or that it does not permit. */
const DENIED = /permission denied|user name is empty|\bauth\b/;

/**
 * etcd asks for the token when a watch is made, and never again: those that stand go on. So a probe that is denied has
 * been answered, and for so long after one denial, in milliseconds, that is enough. Else tokens that live for a second
 * would cost a stream, a token and all ranges with each probe; and etcd3 keeps 12 KiB for good of each token it fetches.
 */
const DENIAL_COUNTS_MS = 30_000;

export class SharedWatch {
  readonly #tools: SharedWatchTools;
  /** How soon a stream that fell silent must be noticed, in milliseconds. */
  #noticeWithinMs = Number.POSITIVE_INFINITY;
  readonly #watches = new Set<WatchTarget>();
  readonly #requests = new WatchRequests();
  readonly #broken = new Set<WatchTarget>();
  #stream: WatchStream | undefined;
  #probe: WatchProbe | undefined;
  #opening: Promise<WatchStream> | undefined;
  #upSinceMs = 0;
  /** When a stream last answered, or the first watch began. */
  #confirmedAtMs = 0;
  #isUnconfirmed = false;
  #healing = false;
  /** etcd denied a watch on the last stream. */
  #isDenied = false;
  /** When a stream was last given up because of that. */
  #deniedAtMs = Number.NEGATIVE_INFINITY;
  #stop = sharedAbort();
  constructor(tools: SharedWatchTools) {
    this.#tools = tools;
  }

  /**
   * Watches from the revision after `readAt`; without it the range is read first.
   *
   * @param noticeWithinMs how soon a stream that fell silent must be noticed; the least of all watches counts.
   */
  watch(target: WatchTarget, noticeWithinMs: number, readAt?: bigint): WatchHandle {
    if (this.#watches.size === 0) {
      this.#stop = sharedAbort();
      this.#noticeWithinMs = Number.POSITIVE_INFINITY;
      this.#confirmedAtMs = clock.now();
    }
    this.#noticeWithinMs = Math.min(this.#noticeWithinMs, noticeWithinMs);
    this.#watches.add(target);
    this.#begin(target, readAt).catch((fault: Error) => this.#break(target, fault.message));
    return { readAgain: () => this.#readAgain(target), end: () => this.#end(target) };
  }

  /** A watch that is broken, or not begun, is read again anyway. */
  #readAgain(watch: WatchTarget): void {
    const stream = this.#stream;
    if (stream === undefined || !this.#watches.has(watch) || this.#broken.has(watch)) return;
    this.#reload(stream, watch, this.#stop.signal).catch((fault: Error) => {
      if (stream === this.#stream) this.#break(watch, fault.message);
    });
  }

  /** How often silence is broken by a probe, and how long its answer may take, in milliseconds. */
  get #probeEveryMs(): number {
    return this.#noticeWithinMs / 3;
  }

  async #begin(watch: WatchTarget, readAt: bigint | undefined): Promise<void> {
    const stream = await this.#open();
    if (readAt === undefined) await this.#reload(stream, watch, this.#stop.signal);
    else if (this.#watches.has(watch)) this.#requests.create(stream, watch, readAt);
  }

  #end(watch: WatchTarget): void {
    if (!this.#watches.delete(watch)) return;
    this.#broken.delete(watch);
    if (this.#watches.size > 0) return this.#requests.cancel(this.#stream, watch);
    this.#requests.clear();
    this.#stop.abort();
    this.#probe?.stop('nobody watches any more');
    this.#probe = undefined;
    this.#opening = undefined;
    const stream = this.#stream;
    this.#stream = undefined;
    stream?.close();
  }

  #open(): Promise<WatchStream> {
    if (this.#stream !== undefined) return Promise.resolve(this.#stream);
    if (this.#opening !== undefined) return this.#opening;
    const signal = this.#stop.signal;
    const opening = this.#tools.transport
      .stream<IWatchRequest, IWatchResponse>(
        'watch',
        (client, options) => client.watchClient.watch(options),
        { withinMs: this.#probeEveryMs, signal },
      )
      .then((open) => {
        if (signal.aborted) {
          open.close();
          throw new EtcdError('aborted', 'watch: nobody watches any more', false);
        }
        const stream: WatchStream = new WatchStream(open, {
          onMessage: (id, message) => this.#receive(stream, id, message),
          onLost: (reason) => this.#lose(stream, reason),
          onKind: (isProxied) => this.#learnKind(isProxied),
        });
        this.#stream = stream;
        this.#upSinceMs = clock.now();
        this.#probe = this.#probeOf(stream);
        this.#probe.start();
        return stream;
      });
    const clear = (): void => {
      if (this.#opening === opening) this.#opening = undefined;
    };
    this.#opening = opening;
    opening.then(clear, clear);
    return opening;
  }

  #probeOf(stream: WatchStream): WatchProbe {
    return new WatchProbe({
      transport: this.#tools.transport,
      stream,
      everyMs: () => this.#probeEveryMs,
      key: () => {
        const [anyWatch] = this.#watches;
        return anyWatch && Buffer.from(anyWatch.electionKeys);
      },
      newId: () => this.#requests.newId(),
      onAnswered: (askedAtMs) => {
        this.#confirmedAtMs = clock.now();
        this.#isUnconfirmed = false;
        this.#tellConfirmed(askedAtMs);
        this.#tools.backoff.healthyFor(clock.now() - this.#upSinceMs);
      },
      onLost: (reason, how) => {
        stream[how]();
        this.#lose(stream, reason);
      },
    });
  }

  #tellConfirmed(atMs: number): void {
    for (const watch of this.#watches)
      if (this.#requests.areCreated(watch) && !this.#broken.has(watch)) watch.onConfirmed(atMs);
  }

  #learnKind(isProxied: boolean): void {
    const { transport } = this.#tools;
    const isNews = isProxied && transport.isProxied !== true;
    transport.isProxied = isProxied || transport.isProxied === true;
    if (isNews) this.#tools.onProxied(this.#noticeWithinMs / 1000);
  }

  #receive(stream: WatchStream, id: number, message: IWatchResponse): void {
    if (stream !== this.#stream) return; // a stream we gave up long ago
    const isDenied = DENIED.test(message.cancel_reason);
    if (!isDenied && this.#probe?.receive(id, message) === true) return;
    if (message.canceled && (id < 0 || isDenied)) {
      this.#deny(stream, id, message);
      return;
    }
    const watch = this.#requests.receive(id, message);
    if (watch === undefined) return;
    if (message.canceled || message.compact_revision !== '0') {
      this.#requests.ended(id);
      this.#break(watch, message.cancel_reason || `compacted up to ${message.compact_revision}`);
      return;
    }
    const { electionKeys } = watch;
    const events: QueueEvent[] = [];
    for (const { type, kv } of message.events) {
      const key = kv.key.toString();
      if (!isCandidateKey(electionKeys, key)) continue;
      events.push(type === 'Put' ? { type: 'put', candidate: candidateOf(kv) } : { type: 'delete', key });
    }
    if (events.length > 0) watch.onEvents(events);
  }

  /** A watch is denied; etcd does not say which. Where all but the probe stand, it was the probe. */
  #deny(stream: WatchStream, id: number, message: IWatchResponse): void {
    const reason = message.cancel_reason;
    const isProbe =
      this.#probe?.isAsking === true &&
      DENIED.test(reason) &&
      !this.#requests.has(id) &&
      this.#requests.areCreated();
    if (isProbe && clock.now() - this.#deniedAtMs < DENIAL_COUNTS_MS) {
      this.#probe!.answered(message);
      return;
    }
    this.#deniedAtMs = clock.now();
    this.#isDenied = true;
    stream.close();
    this.#lose(stream, reason || 'etcd denied a watch');
  }

  /** The stream is gone: every watch on it must read its range again. */
  #lose(stream: WatchStream, reason: string): void {
    if (stream !== this.#stream) return;
    this.#stream = undefined;
    this.#probe?.stop(reason);
    this.#probe = undefined;
    this.#requests.clear();
    this.#tools.backoff.healthyFor(clock.now() - this.#upSinceMs);
    for (const watch of this.#watches) this.#broken.add(watch);
    void this.#heal(reason);
  }

  #break(watch: WatchTarget, reason: string): void {
    if (!this.#watches.has(watch)) return;
    this.#broken.add(watch);
    void this.#heal(reason);
  }

  /** The one loop that gets watches back: each round passes the guard. */
  async #heal(reason: string): Promise<void> {
    if (this.#healing) return;
    this.#healing = true;
    this.#tools.onLost(reason);
    const { signal } = this.#stop;
    const brokenAtMs = clock.now();
    try {
      while (this.#broken.size > 0 && !signal.aborted) {
        await this.#tools.backoff.pass(signal);
        if (signal.aborted) break;
        try {
          if (this.#isDenied) await this.#askWhether(signal);
          const stream = await this.#open();
          await this.#confirm(stream);
          this.#tools.backoff.wake();
          await Promise.allSettled([...this.#broken].map((watch) => this.#reload(stream, watch, signal)));
        } catch (error) {
          // No stream, or no answer on it: next round.
          if (error instanceof EtcdError && error.kind === 'client-closed')
            for (const watch of this.#broken) this.#endIfFinal(watch, error);
          await this.#doWithout(signal);
        }
      }
      if (!signal.aborted) this.#tools.onHealed(clock.now() - brokenAtMs);
    } finally {
      this.#healing = false;
      if (this.#broken.size > 0) void this.#heal('lost again'); // somebody came while the last ones went
    }
  }

  async #confirm(stream: WatchStream): Promise<void> {
    if (stream !== this.#stream) throw silent('the stream is gone');
    await this.#probe!.ask();
    this.#confirmedAtMs = clock.now();
    this.#isUnconfirmed = false;
  }

  /** Silence is not trusted: while no watch can be confirmed, each round reads the ranges instead. */
  async #doWithout(signal: AbortSignal): Promise<void> {
    const silentMs = clock.now() - this.#confirmedAtMs;
    if (signal.aborted || silentMs < this.#noticeWithinMs) return;
    const reads = await Promise.allSettled([...this.#broken].map((watch) => watch.reload(signal)));
    if (this.#isUnconfirmed || signal.aborted || !reads.some(({ status }) => status === 'fulfilled')) return;
    this.#isUnconfirmed = true;
    this.#tools.onUnconfirmed(silentMs);
  }

  /** Reads the range and watches from there. @throws {EtcdError} where that must be tried again. */
  async #reload(stream: WatchStream, watch: WatchTarget, signal: AbortSignal): Promise<void> {
    try {
      const readAt = await watch.reload(signal);
      if (!this.#watches.has(watch)) return;
      if (stream !== this.#stream) throw silent('the stream is gone');
      this.#broken.delete(watch);
      this.#requests.create(stream, watch, readAt);
    } catch (error) {
      this.#endIfFinal(watch, error);
    }
  }

  /**
   * A watch was denied: its token has run out, or we may not look any more. A stream keeps the token it was opened
   * with, and only a read makes etcd3 fetch another; the same read tells whom etcd refuses for good.
   */
  async #askWhether(signal: AbortSignal): Promise<void> {
    const ask = async (watch: WatchTarget): Promise<void> => {
      try {
        await watch.reload(signal);
      } catch (error) {
        this.#endIfFinal(watch, error);
      }
    };
    await Promise.all([...this.#broken].map(ask));
    this.#isDenied = false;
  }

  #endIfFinal(watch: WatchTarget, error: unknown): void {
    if (!(error instanceof EtcdError) || !isFinal(error)) throw error;
    this.#end(watch);
    watch.onRefused(error);
  }
}

const silent = (reason: string): EtcdError => new EtcdError('unavailable', `watch: ${reason}`, false);
