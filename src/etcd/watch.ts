/**
 * One watch stream for all elections and observers of a client.
 *
 * Every failure is handled alike: a compaction, a cancellation, a stream that ends, breaks or falls silent. Every try
 * to restore watches passes the client's back-off. Then each broken range is read again, and watched from the revision of that
 * read. A new watch opens the stream at once. Guards of campaigns and iterations limit how often that happens.
 */
import { sharedAbort } from '../util/abort.ts';
import type { IWatchRequest, IWatchResponse } from 'etcd3';
import type { QueueEvent } from '../core/candidate-queue.ts';
import { clock } from '../util/clock.ts';
import { Multiset } from '../util/multiset.ts';
import { candidateOf, isCandidateKey } from './candidate-kv.ts';
import { EtcdError, isFinal } from './etcd-error.ts';
import type { EtcdTransport } from './transport.ts';
import { WatchProbe, watchError } from './watch-probe.ts';
import { WatchRequests } from './watch-requests.ts';
import { WatchStream } from './watch-stream.ts';
import type { WatchHandle, WatchTarget } from './watch-target.ts';

export interface SharedWatchTools {
  readonly transport: EtcdTransport;
  /** The client's back-off, which delays every try to restore watches. */
  readonly backoff: {
    pass(signal: AbortSignal): Promise<void>;
    healthyFor(healthyMs: number): void;
    wake(): void;
  };
  onLost(reason: string): void;
  onHealed(afterMs: number): void;
  /**
   * No watch was confirmed for a long time. All queues are polled until a watch is confirmed. Reported once until then.
   */
  onUnconfirmed(silentMs: number): void;
  /** The stream goes through a proxy. Reported once. @param ttlSeconds the shortest TTL among the watchers. */
  onProxied(ttlSeconds: number): void;
}

/** etcd's text if it does not accept the token of a watch, or does not permit the watch. */
const DENIED = /permission denied|user name is empty|\bauth\b/;

/**
 * After a denial has ended a stream, a denied probe counts as an answer for so many milliseconds. The denial of a
 * probe proves that the stream works. Existing watches continue, because etcd checks the token only when a watch is
 * created. Without this rule, short-lived tokens would be costly. Every probe would cost a stream, a read of all ranges
 * and a token.
 */
const DENIAL_AS_ANSWER_MS = 30_000;

export class SharedWatch {
  readonly #tools: SharedWatchTools;
  /** The watches, and how soon each must notice a silent stream, in milliseconds. */
  readonly #watches = new Map<WatchTarget, number>();
  readonly #limits = new Multiset<number>();
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
  /** Whether etcd denied a watch on the last stream. */
  #isDenied = false;
  /** When a stream was last given up because of a denial, in milliseconds. */
  #deniedAtMs = Number.NEGATIVE_INFINITY;
  #stop = sharedAbort();
  constructor(tools: SharedWatchTools) {
    this.#tools = tools;
  }

  /**
   * Watches from the revision after `readAt`. Without `readAt`, the range is read first.
   *
   * @param noticeWithinMs how soon a silent stream must be noticed, in milliseconds. The shortest of all watches counts.
   */
  watch(target: WatchTarget, noticeWithinMs: number, readAt?: bigint): WatchHandle {
    if (this.#watches.size === 0) {
      this.#stop = sharedAbort();
      this.#confirmedAtMs = clock.now();
    }
    const isShortest = noticeWithinMs < this.#noticeWithinMs;
    this.#watches.set(target, noticeWithinMs);
    this.#limits.add(noticeWithinMs);
    if (isShortest) this.#probe?.hurry();
    this.#begin(target, readAt).catch((fault: Error) => this.#break(target, fault.message));
    return { readAgain: () => this.#readAgain(target), end: () => this.#end(target) };
  }

  /** Reads the range of a watch again. Does nothing if no stream is open, or if the watch is broken and waits for a read. */
  #readAgain(watch: WatchTarget): void {
    const stream = this.#stream;
    if (stream === undefined || !this.#watches.has(watch) || this.#broken.has(watch)) return;
    this.#reload(stream, watch, this.#stop.signal).catch((fault: Error) => {
      if (stream === this.#stream) this.#break(watch, fault.message);
    });
  }

  get #noticeWithinMs(): number {
    return Math.min(...this.#limits);
  }

  /** How often the stream is probed, and how long an answer may take, in milliseconds. */
  get #probeEveryMs(): number {
    return this.#noticeWithinMs / 3;
  }

  async #begin(watch: WatchTarget, readAt: bigint | undefined): Promise<void> {
    const stream = await this.#open();
    if (readAt === undefined) await this.#reload(stream, watch, this.#stop.signal);
    else if (this.#watches.has(watch)) this.#requests.create(stream, watch, readAt);
  }

  #end(watch: WatchTarget): void {
    const limitMs = this.#watches.get(watch);
    if (limitMs === undefined) return;
    this.#watches.delete(watch);
    this.#limits.remove(limitMs);
    this.#broken.delete(watch);
    if (this.#watches.size > 0) return this.#requests.cancel(this.#stream, watch);
    this.#requests.clear();
    this.#stop.abort();
    this.#probe?.stop('all watches have ended');
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
          throw new EtcdError('aborted', 'watch: all watches have ended', false);
        }
        const stream: WatchStream = new WatchStream(open, {
          onMessage: (id, message) => this.#receive(stream, id, message),
          onLost: (reason) => this.#lose(stream, reason),
          onProxyKnown: (isProxied) => this.#learnIsProxied(isProxied),
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
        const [anyWatch] = this.#watches.keys();
        return anyWatch && Buffer.from(anyWatch.keyPrefix);
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
    for (const watch of this.#watches.keys())
      if (this.#requests.areCreated(watch) && !this.#broken.has(watch)) watch.onConfirmed(atMs);
  }

  #learnIsProxied(isProxied: boolean): void {
    const { transport } = this.#tools;
    const isNews = isProxied && transport.isProxied !== true;
    transport.isProxied = isProxied || transport.isProxied === true;
    if (isNews) this.#tools.onProxied(this.#noticeWithinMs / 1000);
  }

  #receive(stream: WatchStream, id: number, message: IWatchResponse): void {
    if (stream !== this.#stream) return; // a message of an earlier stream
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
    const { keyPrefix } = watch;
    const events: QueueEvent[] = [];
    for (const { type, kv } of message.events) {
      const key = kv.key.toString();
      if (!isCandidateKey(keyPrefix, key)) continue;
      events.push(type === 'Put' ? { type: 'put', candidate: candidateOf(kv) } : { type: 'delete', key });
    }
    if (events.length > 0) watch.onEvents(events);
  }

  /** etcd has denied a watch without saying which. If all watches are confirmed, etcd has denied the probe. */
  #deny(stream: WatchStream, id: number, message: IWatchResponse): void {
    const reason = message.cancel_reason;
    const isProbe =
      this.#probe?.isAsking === true &&
      DENIED.test(reason) &&
      !this.#requests.has(id) &&
      this.#requests.areCreated();
    if (isProbe && clock.now() - this.#deniedAtMs < DENIAL_AS_ANSWER_MS) {
      this.#probe!.answered(message);
      return;
    }
    this.#deniedAtMs = clock.now();
    this.#isDenied = true;
    stream.close();
    this.#lose(stream, reason || 'etcd denied a watch');
  }

  #lose(stream: WatchStream, reason: string): void {
    if (stream !== this.#stream) return;
    this.#stream = undefined;
    this.#probe?.stop(reason);
    this.#probe = undefined;
    this.#requests.clear();
    this.#tools.backoff.healthyFor(clock.now() - this.#upSinceMs);
    for (const watch of this.#watches.keys()) this.#broken.add(watch);
    void this.#heal(reason);
  }

  #break(watch: WatchTarget, reason: string): void {
    if (!this.#watches.has(watch)) return;
    this.#broken.add(watch);
    void this.#heal(reason);
  }

  /** The only loop that restores watches. */
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
          if (this.#isDenied) await this.#readAfterDenial(signal);
          const stream = await this.#open();
          await this.#confirm(stream);
          this.#tools.backoff.wake();
          await Promise.allSettled([...this.#broken].map((watch) => this.#reload(stream, watch, signal)));
        } catch (error) {
          // There is no stream, or no answer on it. Try again in the next round.
          if (error instanceof EtcdError && error.kind === 'client-closed')
            for (const watch of this.#broken) this.#endIfFinal(watch, error);
          await this.#doWithout(signal);
        }
      }
      if (!signal.aborted) this.#tools.onHealed(clock.now() - brokenAtMs);
    } finally {
      this.#healing = false;
      if (this.#broken.size > 0) void this.#heal('lost again'); // all broken watches had ended, and another one broke meanwhile
    }
  }

  async #confirm(stream: WatchStream): Promise<void> {
    if (stream !== this.#stream) throw watchError('the stream is gone');
    await this.#probe!.ask();
    this.#confirmedAtMs = clock.now();
    this.#isUnconfirmed = false;
  }

  /** Reads the broken ranges without a watch, if no watch has been confirmed for a long time. */
  async #doWithout(signal: AbortSignal): Promise<void> {
    const silentMs = clock.now() - this.#confirmedAtMs;
    if (signal.aborted || silentMs < this.#noticeWithinMs) return;
    const reads = await Promise.allSettled([...this.#broken].map((watch) => watch.reload(signal)));
    if (this.#isUnconfirmed || signal.aborted || !reads.some(({ status }) => status === 'fulfilled')) return;
    this.#isUnconfirmed = true;
    this.#tools.onUnconfirmed(silentMs);
  }

  /** Reads the range, and watches from the revision of that read. @throws {EtcdError} if the read must be tried again. */
  async #reload(stream: WatchStream, watch: WatchTarget, signal: AbortSignal): Promise<void> {
    try {
      const readAt = await watch.reload(signal);
      if (!this.#watches.has(watch)) return;
      if (stream !== this.#stream) throw watchError('the stream is gone');
      this.#broken.delete(watch);
      this.#requests.create(stream, watch, readAt);
    } catch (error) {
      this.#endIfFinal(watch, error);
    }
  }

  /**
   * Reads all ranges after a denial. If the token has expired, a read fetches a new one, but opening a stream does not.
   * If the permission is gone, the read shows which watches etcd refuses for good.
   */
  async #readAfterDenial(signal: AbortSignal): Promise<void> {
    const ask = async (watch: WatchTarget) => {
      try {
        await watch.reload(signal);
      } catch (error) {
        this.#endIfFinal(watch, error);
      }
    };
    const reads = await Promise.allSettled([...this.#broken].map(ask));
    // One answered read is enough. The other ranges are read again on the new stream.
    if (reads.every(({ status }) => status === 'rejected')) throw watchError('no range can be read');
    this.#isDenied = false;
  }

  #endIfFinal(watch: WatchTarget, error: unknown): void {
    if (!(error instanceof EtcdError) || !isFinal(error)) throw error;
    this.#end(watch);
    watch.onRefused(error);
  }
}
