/**
 * One watch stream for all elections and observers of a client.
 *
 * A watch is a hint; the range is the truth. Whatever happens to a watch (compaction, cancellation, a stream that
 * ends, breaks or falls silent), the way back is the same: one stream anew, through the guard, then every watch
 * reads its range again and goes on from there.
 */
import { sharedAbort } from '../abort.ts';
import type { IWatchRequest, IWatchResponse } from 'etcd3';
import type { RosterEvent } from '../core/roster.ts';
import { clock } from '../time.ts';
import { candidateOf, endOf, isCandidateKey } from './candidacy.ts';
import { EtcdFault, isFinal } from './fault.ts';
import type { Link, OpenStream } from './link.ts';

export interface WatchTarget {
  /** Prefix of the keys that are watched; ends in `/`. */
  readonly electionKeys: string;
  /** Reads the range anew after a break. @returns the revision it was read at. @throws {EtcdFault} */
  reload(signal: AbortSignal): Promise<bigint>;
  /** What happened to the keys, in revision order. */
  onEvents(events: readonly RosterEvent[]): void;
  /** etcd refuses the range for good: the watch is over. */
  onRefused(fault: EtcdFault): void;
}

export interface WatchHubTools {
  readonly link: Link;
  /** The guard of everything that the client's elections share; passed before each try to get a stream back. */
  readonly pace: {
    pass(signal: AbortSignal): Promise<void>;
    healthyFor(healthyMs: number): void;
    nudge(): void;
  };
  onLost(reason: string): void;
  onHealed(afterMs: number): void;
}

type Stream = OpenStream<IWatchRequest, IWatchResponse>;

interface Watch {
  readonly target: WatchTarget;
  /** Changes with every request to etcd, so that late answers to an earlier one find nobody. */
  id: number;
  /** Whether etcd has said yes to that request. */
  isCreated: boolean;
}

/** What etcd says to a watch whose token it does not take, or that it does not permit. */
const DENIED = /permission denied|user name is empty|\bauth\b/;

/**
 * etcd asks for the token when a watch is made, and never again: those that stand go on. So a probe that is denied has
 * been answered, and for so long after one denial, in milliseconds, that is enough. Else tokens that live for a second
 * would cost a stream, a token and all ranges with each probe; and etcd3 keeps 12 KiB for good of each token it fetches.
 */
const DENIAL_COUNTS_MS = 30_000;

export class WatchHub {
  readonly #tools: WatchHubTools;
  /** How often silence is broken by a probe, and how long its answer may take, in milliseconds. */
  #probeEveryMs = Number.POSITIVE_INFINITY;
  readonly #watches = new Set<Watch>();
  readonly #byId = new Map<number, Watch>();
  readonly #broken = new Set<Watch>();
  #nextId = 1;
  #stream: Stream | undefined;
  #opening: Promise<Stream> | undefined;
  #upSinceMs = 0;
  #healing = false;
  /** etcd denied a watch on the last stream. */
  #isDenied = false;
  /** When a stream was last given up because of that. */
  #deniedAtMs = Number.NEGATIVE_INFINITY;
  #stop = sharedAbort();
  /** The probe under way: its watch ID, the revision that its answer must have reached, and how it ends. */
  #probe:
    | { readonly id: number; reached: bigint; promise: Promise<void>; end: (fault?: EtcdFault) => void }
    | undefined;
  /** What etcd had told of by the last probe: by the next one the stream's member has had time to reach it. */
  #known = 0n;
  #probeTimer: NodeJS.Timeout | undefined;

  constructor(tools: WatchHubTools) {
    this.#tools = tools;
    tools.link.history.onWentBack(() => {
      this.#known = 0n;
      if (this.#probe !== undefined) this.#probe.reached = 0n;
    });
  }

  /**
   * Watches from the revision after `readAt`; without it the range is read first.
   *
   * @param noticeWithinMs how soon a stream that fell silent must be noticed; the least of all watches counts.
   * @returns a function that ends the watch.
   */
  watch(target: WatchTarget, noticeWithinMs: number, readAt?: bigint): () => void {
    if (this.#watches.size === 0) {
      this.#stop = sharedAbort();
      this.#probeEveryMs = Number.POSITIVE_INFINITY;
    }
    this.#probeEveryMs = Math.min(this.#probeEveryMs, noticeWithinMs / 3);
    const watch: Watch = { target, id: 0, isCreated: false };
    this.#watches.add(watch);
    this.#begin(watch, readAt).catch((fault: Error) => this.#break(watch, fault.message));
    return () => this.#end(watch);
  }

  async #begin(watch: Watch, readAt: bigint | undefined): Promise<void> {
    const stream = await this.#open();
    if (readAt === undefined) await this.#reload(stream, watch, this.#stop.signal);
    else if (this.#watches.has(watch)) this.#request(stream, watch, readAt);
  }

  #request(stream: Stream, watch: Watch, readAt: bigint): void {
    this.#byId.delete(watch.id);
    watch.id = this.#nextId++;
    watch.isCreated = false;
    this.#byId.set(watch.id, watch);
    stream.raw.write({
      create_request: {
        key: Buffer.from(watch.target.electionKeys),
        range_end: endOf(watch.target.electionKeys),
        start_revision: (readAt + 1n).toString(),
        watch_id: watch.id,
        fragment: true,
      },
    });
  }

  #end(watch: Watch): void {
    if (!this.#watches.delete(watch)) return;
    this.#broken.delete(watch);
    const isAsked = this.#byId.delete(watch.id);
    if (this.#watches.size > 0) {
      if (isAsked) this.#stream?.raw.write({ cancel_request: { watch_id: watch.id } });
      return;
    }
    this.#stop.abort();
    this.#dropProbe('nobody watches any more');
    this.#opening = undefined;
    const stream = this.#stream;
    this.#stream = undefined;
    stream?.close();
  }

  #open(): Promise<Stream> {
    if (this.#stream !== undefined) return Promise.resolve(this.#stream);
    if (this.#opening !== undefined) return this.#opening;
    const signal = this.#stop.signal;
    const opening = this.#tools.link
      .stream<IWatchRequest, IWatchResponse>(
        'watch',
        (client, options) => client.watchClient.watch(options),
        { withinMs: this.#probeEveryMs, signal },
      )
      .then((stream) => {
        if (signal.aborted) {
          stream.close();
          throw new EtcdFault('aborted', 'watch: nobody watches any more', false);
        }
        this.#stream = stream;
        this.#known = 0n;
        this.#upSinceMs = clock.now();
        stream.raw.on('data', (message) => this.#receive(stream, message));
        stream.raw.on('error', (error) => this.#lose(stream, error.message));
        stream.raw.on('end', () => this.#lose(stream, 'etcd ended the stream'));
        this.#armProbe(stream);
        return stream;
      });
    const clear = (): void => {
      if (this.#opening === opening) this.#opening = undefined;
    };
    this.#opening = opening;
    opening.then(clear, clear);
    return opening;
  }

  #receive(stream: Stream, message: IWatchResponse): void {
    if (stream !== this.#stream) return; // a stream we gave up long ago
    const id = Number(message.watch_id);
    if (message.canceled && (id < 0 || DENIED.test(message.cancel_reason))) {
      this.#deny(stream, message);
      return;
    }
    if (id === this.#probe?.id) {
      if (!message.canceled) stream.raw.write({ cancel_request: { watch_id: id } });
      this.#endProbe(stream, message);
      return;
    }
    const watch = this.#byId.get(id);
    if (watch === undefined) return;
    if (message.created) watch.isCreated = true;
    if (message.canceled || message.compact_revision !== '0') {
      this.#byId.delete(id);
      this.#break(watch, message.cancel_reason || `compacted up to ${message.compact_revision}`);
      return;
    }
    const { electionKeys } = watch.target;
    const events: RosterEvent[] = [];
    for (const { type, kv } of message.events) {
      const key = kv.key.toString();
      if (!isCandidateKey(electionKeys, key)) continue;
      events.push(type === 'Put' ? { type: 'put', candidate: candidateOf(kv) } : { type: 'delete', key });
    }
    if (events.length > 0) watch.target.onEvents(events);
  }

  /** A watch is denied; etcd does not say which. Where all but the probe stand, it was the probe. */
  #deny(stream: Stream, message: IWatchResponse): void {
    const id = Number(message.watch_id);
    const reason = message.cancel_reason;
    const standing = [...this.#byId.values()];
    const isProbe =
      this.#probe !== undefined &&
      DENIED.test(reason) &&
      !this.#byId.has(id) &&
      standing.length > 0 &&
      standing.every(({ isCreated }) => isCreated);
    if (isProbe && clock.now() - this.#deniedAtMs < DENIAL_COUNTS_MS) {
      this.#endProbe(stream, message);
      return;
    }
    this.#deniedAtMs = clock.now();
    this.#isDenied = true;
    stream.close();
    this.#lose(stream, reason || 'etcd denied a watch');
  }

  /** The stream is gone: every watch on it must read its range again. */
  #lose(stream: Stream, reason: string): void {
    if (stream !== this.#stream) return;
    this.#stream = undefined;
    this.#dropProbe(reason);
    this.#byId.clear();
    this.#tools.pace.healthyFor(clock.now() - this.#upSinceMs);
    for (const watch of this.#watches) this.#broken.add(watch);
    void this.#heal(reason);
  }

  #break(watch: Watch, reason: string): void {
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
        await this.#tools.pace.pass(signal);
        if (signal.aborted) break;
        try {
          if (this.#isDenied) await this.#askWhether(signal);
          const stream = await this.#open();
          await this.#confirm(stream);
          this.#tools.pace.nudge();
          await Promise.allSettled([...this.#broken].map((watch) => this.#reload(stream, watch, signal)));
        } catch (error) {
          // No stream, or no answer on it: next round.
          if (error instanceof EtcdFault && error.kind === 'client-closed')
            for (const watch of this.#broken) this.#endIfFinal(watch, error);
        }
      }
      if (!signal.aborted) this.#tools.onHealed(clock.now() - brokenAtMs);
    } finally {
      this.#healing = false;
      if (this.#broken.size > 0) void this.#heal('lost again'); // somebody came while the last ones went
    }
  }

  /** Reads the range and watches from there. @throws {EtcdFault} where that must be tried again. */
  async #reload(stream: Stream, watch: Watch, signal: AbortSignal): Promise<void> {
    try {
      const readAt = await watch.target.reload(signal);
      if (!this.#watches.has(watch)) return;
      if (stream !== this.#stream) throw silent('the stream is gone');
      this.#broken.delete(watch);
      this.#request(stream, watch, readAt);
    } catch (error) {
      this.#endIfFinal(watch, error);
    }
  }

  /**
   * A watch was denied: its token has run out, or we may not look any more. A stream keeps the token it was opened
   * with, and only a read makes etcd3 fetch another; the same read tells whom etcd refuses for good.
   */
  async #askWhether(signal: AbortSignal): Promise<void> {
    const ask = async (watch: Watch): Promise<void> => {
      try {
        await watch.target.reload(signal);
      } catch (error) {
        this.#endIfFinal(watch, error);
      }
    };
    await Promise.all([...this.#broken].map(ask));
    this.#isDenied = false;
  }

  #endIfFinal(watch: Watch, error: unknown): void {
    if (!(error instanceof EtcdFault) || !isFinal(error)) throw error;
    this.#end(watch);
    watch.target.onRefused(error);
  }

  /**
   * Breaks the silence: a frozen member, a half-open connection and a stalled stream look alike from here. A member that
   * hears the others and is not heard by them answers, but is told of nothing new: its answers say a revision of long ago.
   */
  #armProbe(stream: Stream): void {
    this.#probeTimer = setTimeout(() => {
      this.#confirm(stream).then(
        () => {
          if (stream !== this.#stream) return;
          this.#tools.pace.healthyFor(clock.now() - this.#upSinceMs);
          this.#armProbe(stream);
        },
        () => undefined, // the stream was given up on the way
      );
    }, this.#probeEveryMs);
  }

  /**
   * Waits for an answer on the stream: a watch of nothing, created and taken back. (etcd's progress request would
   * be the natural question, but some releases of 3.5 leave it unanswered.)
   */
  #confirm(stream: Stream): Promise<void> {
    if (this.#probe !== undefined) return this.#probe.promise;
    const [anyWatch] = this.#watches;
    if (stream !== this.#stream || anyWatch === undefined)
      return Promise.reject(silent('the stream is gone'));
    const id = this.#nextId++;
    const withinMs = this.#probeEveryMs;
    let finish!: (fault?: EtcdFault) => void;
    const promise = new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        stream.fail();
        this.#lose(stream, `no answer within ${Math.round(withinMs)} ms`);
      }, withinMs);
      const end = (fault?: EtcdFault): void => {
        clearTimeout(timer);
        this.#probe = undefined;
        if (fault === undefined) resolve();
        else reject(fault);
      };
      finish = end;
    });
    this.#probe = { id, reached: this.#known, promise, end: finish };
    this.#known = this.#tools.link.history.known.revision;
    // A key that no candidate has: the prefix itself.
    stream.raw.write({
      create_request: {
        key: Buffer.from(anyWatch.target.electionKeys),
        watch_id: id,
        filters: ['Noput', 'Nodelete'],
      },
    });
    return promise;
  }

  /** It was answered: by a member that is up to date, or by one that lags behind. */
  #endProbe(stream: Stream, { header }: IWatchResponse): void {
    if (BigInt(header.revision) >= this.#probe!.reached) return this.#probe!.end();
    stream.leave();
    this.#lose(stream, 'its member lags behind');
  }

  #dropProbe(reason: string): void {
    clearTimeout(this.#probeTimer);
    this.#probe?.end(silent(reason));
  }
}

const silent = (reason: string): EtcdFault => new EtcdFault('unavailable', `watch: ${reason}`, false);
