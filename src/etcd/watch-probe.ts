/**
 * Checks a silent watch stream. A frozen member, a half-open connection and a stalled stream all look like silence. A member
 * that is stuck, or cut off from the others, still answers. But it learns nothing new, so its answers carry an old revision.
 */
import type { IWatchResponse } from 'etcd3';
import { after, clock } from '../util/clock.ts';
import { EtcdError } from './etcd-error.ts';
import type { Known } from './history.ts';
import type { EtcdTransport } from './transport.ts';
import type { WatchRequest, WatchStream } from './watch-stream.ts';

export interface ProbeTools {
  readonly transport: EtcdTransport;
  readonly stream: WatchStream;
  /** How often silence is broken, and how long an answer may take, in milliseconds. */
  everyMs(): number;
  /** A prefix that we watch: no candidate has it as its key. Undefined where nothing is watched. */
  key(): Buffer | undefined;
  newId(): number;
  /** It was answered. @param askedAtMs when it was asked. */
  onAnswered(askedAtMs: number): void;
  onLost(reason: string, how: 'fail' | 'leave'): void;
}

interface Question {
  readonly id: number;
  /** What the answer must have reached. */
  readonly reached: Known;
  readonly promise: Promise<void>;
  end(fault?: EtcdError): void;
}

/** Ours and those of sessions are both made each third of a TTL; by so much they may drift apart. */
const DRIFT = 1.2;

const WITHOUT_EVENTS: NonNullable<WatchRequest['filters']> = ['Noput', 'Nodelete'];

/** etcd's refusal of a range without keys. It does not show our ID; only the probe asks for such a range. */
const isOfNothing = ({ canceled, cancel_reason }: IWatchResponse): boolean =>
  canceled && /watcher range is empty/.test(cancel_reason);

export class WatchProbe {
  readonly #tools: ProbeTools;
  #question: Question | undefined;
  /** What etcd had told of by the last question: by the next one the stream's member has had time to reach it. */
  #known: Known | undefined;
  #isBehind = false;
  #readAtMs = Number.NEGATIVE_INFINITY;
  #cancelTimer = (): void => undefined;
  #isStopped = false;

  constructor(tools: ProbeTools) {
    this.#tools = tools;
  }

  /** Asks from now on, again and again. */
  start(): void {
    if (this.#isStopped) return;
    // A member that is behind is asked again soon: it is given up within one TTL of the first write that it misses.
    const inMs = this.#tools.everyMs() / (this.#isBehind ? 2 : 1);
    this.#cancelTimer = after(inMs, () => {
      this.#learn();
      const askedAtMs = clock.now();
      this.ask().then(
        () => {
          this.#tools.onAnswered(askedAtMs);
          this.start();
        },
        () => undefined, // the stream was given up on the way
      );
    });
  }

  /**
   * Asks for a watch of nothing, and waits for the answer. (etcd's progress request would be the natural question, but
   * some releases of 3.5 leave it unanswered.)
   *
   * @throws {EtcdError} if the stream is given up first.
   */
  ask(): Promise<void> {
    if (this.#question !== undefined) return this.#question.promise;
    const { transport, stream } = this.#tools;
    const key = this.#tools.key();
    if (key === undefined) return Promise.reject(silent('nobody watches any more'));
    const id = this.#tools.newId();
    const withinMs = this.#tools.everyMs();
    let end!: Question['end'];
    const promise = new Promise<void>((resolve, reject) => {
      const cancelTimer = after(withinMs, () =>
        this.#tools.onLost(`no answer within ${Math.round(withinMs)} ms`, 'fail'),
      );
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
      end,
    };
    this.#known = transport.history.known;
    // etcd refuses a range without keys, so nothing is left to take back. A proxy refuses it without asking etcd.
    const ofNothing = stream.isProxied === false ? { range_end: key } : { filters: WITHOUT_EVENTS };
    stream.create(id, { key, ...ofNothing });
    return promise;
  }

  get isAsking(): boolean {
    return this.#question !== undefined;
  }

  /** @returns whether the message was the answer to our question. */
  receive(id: number, message: IWatchResponse): boolean {
    if (this.#question === undefined) return false;
    if (id !== this.#question.id && !isOfNothing(message)) return false;
    if (!message.canceled) this.#tools.stream.cancel(id);
    this.answered(message);
    return true;
  }

  /** By a member that is up to date, or by one that lags behind. */
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
    this.#cancelTimer();
    this.#question?.end(silent(reason));
  }

  /**
   * Where no session asks etcd how far it is, as with those who only observe, we ask: on another host where there is one.
   */
  #learn(): void {
    const { transport, stream } = this.#tools;
    const key = this.#tools.key();
    const everyMs = this.#tools.everyMs();
    const isOurs = transport.provenAtMs === this.#readAtMs;
    if (key === undefined || (!isOurs && clock.now() - transport.provenAtMs < everyMs * DRIFT)) return;
    transport
      .unary(
        'read how far etcd is',
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
        () => undefined, // the next one will do
      );
  }
}

const silent = (reason: string): EtcdError => new EtcdError('unavailable', `watch: ${reason}`, false);
