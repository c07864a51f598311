/**
 * Probes a watch stream at intervals. A frozen member, a half-open connection and a stalled stream look like a stream
 * without events. A member that is stuck or cut off still answers, but its answers carry an old revision.
 */
import type { IWatchResponse } from 'etcd3';
import { after, afterTurn, clock } from '../util/clock.ts';
import { EtcdError } from './etcd-error.ts';
import type { Known } from './history.ts';
import type { EtcdTransport } from './transport.ts';
import type { WatchRequest, WatchStream } from './watch-stream.ts';

export interface WatchProbeTools {
  readonly transport: EtcdTransport;
  readonly stream: WatchStream;
  /** How often the stream is probed, and how long an answer may take, in milliseconds. */
  everyMs(): number;
  /** A watched prefix, used as the key of the probe, because no candidate has this key. Undefined if nothing is watched. */
  key(): Buffer | undefined;
  newId(): number;
  /** A probe was answered. @param askedAtMs when it was sent, in milliseconds. */
  onAnswered(askedAtMs: number): void;
  /** The member does not answer (`fail`) or lags behind (`leave`). */
  onLost(reason: string, how: 'fail' | 'leave'): void;
}

interface Question {
  readonly id: number;
  readonly reached: Known;
  readonly promise: Promise<void>;
  /** Limits the wait from now on, in milliseconds. */
  limit(withinMs: number): void;
  end(fault?: EtcdError): void;
}

/** Probes and renewals run every third of a TTL. This factor allows for their drift. */
const DRIFT = 1.2;

const WITHOUT_EVENTS: NonNullable<WatchRequest['filters']> = ['Noput', 'Nodelete'];

/**
 * Whether this message refuses an empty range. Only the probe asks for an empty range, but etcd's refusal does not
 * carry our ID.
 */
const refusesEmptyRange = ({ canceled, cancel_reason }: IWatchResponse): boolean =>
  canceled && /watcher range is empty/.test(cancel_reason);

export class WatchProbe {
  readonly #tools: WatchProbeTools;
  #question: Question | undefined;
  /** What was known at the last probe. The member must have reached that state by the next probe. */
  #known: Known | undefined;
  #isBehind = false;
  #readAtMs = Number.NEGATIVE_INFINITY;
  /** Cancels the timer of the next probe; undefined while no timer runs. */
  #cancelTimer: (() => void) | undefined;
  #isStopped = false;

  constructor(tools: WatchProbeTools) {
    this.#tools = tools;
  }

  /** Probes the stream again and again, until it is stopped or given up. */
  start(): void {
    if (this.#isStopped) return;
    // A member that lags behind is probed again soon. So it is given up within one TTL of the first write that it
    // misses.
    const inMs = this.#tools.everyMs() / (this.#isBehind ? 2 : 1);
    this.#cancelTimer = after(inMs, () => {
      this.#cancelTimer = undefined;
      this.#learn();
      const askedAtMs = clock.now();
      this.ask().then(
        () => {
          this.#tools.onAnswered(askedAtMs);
          this.start();
        },
        () => undefined, // the stream was given up meanwhile
      );
    });
  }

  /** Applies a shorter `everyMs()` to the present wait. */
  hurry(): void {
    this.#question?.limit(this.#tools.everyMs());
    if (this.#cancelTimer === undefined) return;
    this.#cancelTimer();
    this.start();
  }

  /**
   * Requests a watch of an empty range, and waits for the refusal. If there may be a proxy, requests a watch without
   * events instead. A progress request would be simpler, but some releases of etcd 3.5 do not answer it.
   *
   * @throws {EtcdError} if the stream is given up first.
   */
  ask(): Promise<void> {
    if (this.#question !== undefined) return this.#question.promise;
    const { transport, stream } = this.#tools;
    const key = this.#tools.key();
    if (key === undefined) return Promise.reject(watchError('all watches have ended'));
    const id = this.#tools.newId();
    let cancelTimer = (): void => undefined;
    const limit = (withinMs: number): void => {
      cancelTimer();
      cancelTimer = afterTurn(withinMs, () =>
        this.#tools.onLost(`no answer within ${Math.round(withinMs)} ms`, 'fail'),
      );
    };
    limit(this.#tools.everyMs());
    let end!: Question['end'];
    const promise = new Promise<void>((resolve, reject) => {
      end = (fault) => {
        cancelTimer();
        this.#question = undefined;
        if (fault === undefined) resolve();
        else reject(fault);
      };
    });
    this.#question = {
      id,
      reached: this.#known ?? { ...transport.history.known, revision: 0n },
      promise,
      limit,
      end,
    };
    this.#known = transport.history.known;
    // etcd refuses an empty range, so no watch is left to cancel. A proxy refuses such a range without asking etcd, so
    // behind a proxy we ask for a watch without events.
    const ofNothing = stream.isProxied === false ? { range_end: key } : { filters: WITHOUT_EVENTS };
    stream.create(id, { key, ...ofNothing });
    return promise;
  }

  get isAsking(): boolean {
    return this.#question !== undefined;
  }

  /** @returns whether the message was the answer to the probe. */
  receive(id: number, message: IWatchResponse): boolean {
    if (this.#question === undefined) return false;
    if (id !== this.#question.id && !refusesEmptyRange(message)) return false;
    if (!message.canceled) this.#tools.stream.cancel(id);
    this.answered(message);
    return true;
  }

  /** Checks whether the member that answered lags behind. */
  answered({ header }: IWatchResponse): void {
    const question = this.#question!;
    const { reached } = question;
    const { known } = this.#tools.transport.history;
    const revision = BigInt(header.revision);
    this.#isBehind = revision < (this.#known?.revision ?? 0n);
    if (revision >= reached.revision || reached.era !== known.era) question.end();
    else this.#tools.onLost('its member lags behind', 'leave');
  }

  stop(reason: string): void {
    this.#isStopped = true;
    this.#cancelTimer?.();
    this.#question?.end(watchError(reason));
  }

  /** Reads etcd's revision, preferably from another host, if no session reads it often enough. */
  #learn(): void {
    const { transport, stream } = this.#tools;
    const key = this.#tools.key();
    const everyMs = this.#tools.everyMs();
    const isLastReadOurs = transport.provenAtMs === this.#readAtMs;
    if (key === undefined || (!isLastReadOurs && clock.now() - transport.provenAtMs < everyMs * DRIFT))
      return;
    transport
      .unary(
        "read etcd's revision",
        (client, options) => client.kv.range({ key, keys_only: true }, options),
        {
          withinMs: everyMs,
          isTimely: true,
          lane: 'lease',
          isHedged: true,
          avoid: stream.host,
          proves: 'revision',
        },
      )
      .then(
        () => (this.#readAtMs = transport.provenAtMs),
        () => undefined, // the next probe reads again
      );
  }
}

export const watchError = (reason: string): EtcdError =>
  new EtcdError('unavailable', `watch: ${reason}`, false);
