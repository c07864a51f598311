/**
 * A channel of gRPC: one connection to one address. A call opens it, and it is opened again after growing
 * delays, as in grpc-js. Calls wait for the first attempt to connect. After a failed attempt, calls fail at once
 * until there is a connection. The next call reopens a lost connection.
 */
import type { Connection, HostApi } from '../host.ts';
import { UNAVAILABLE, type Status } from './status.ts';

export const connectivityState = { IDLE: 0, CONNECTING: 1, READY: 2, TRANSIENT_FAILURE: 3, SHUTDOWN: 4 };

/** One call in flight, as its channel sees it. */
export interface Call {
  /** Sends the call's messages. */
  begin(connection: Connection, id: number): void;
  message(message: object): void;
  status(status: Status): void;
}

const host: HostApi = globalThis.simulation;

const FIRST_BACKOFF_MS = 1_000;
const LONGEST_BACKOFF_MS = 120_000;
const BACKOFF_FACTOR = 1.6;
const BACKOFF_JITTER = 0.2;

declare global {
  /** The channels of this process. Processes share this module. */
  var channels: Map<string, Channel> | undefined;
}

const channels = (): Map<string, Channel> => (globalThis.channels ??= new Map());

export class Channel {
  readonly #address: string;
  readonly #key: string;
  #state = connectivityState.IDLE;
  #connection: Connection | undefined;
  readonly #waiting = new Map<number, Call>();
  readonly #underWay = new Map<number, Call>();
  #backoffMs = FIRST_BACKOFF_MS;
  #lastError = '';
  #timer = 0;
  #users = 0;
  #lastId = 0;

  private constructor(address: string, key: string) {
    this.#address = address;
    this.#key = key;
  }

  /** Channels of the same address and options share one connection. */
  static open(address: string, options: object): Channel {
    const key = `${address} ${JSON.stringify(options)}`;
    let channel = channels().get(key);
    if (channel === undefined) channels().set(key, (channel = new Channel(address, key)));
    channel.#users++;
    return channel;
  }

  get state(): number {
    return this.#state;
  }

  /** Calls in flight continue. */
  close(): void {
    if (--this.#users > 0) return;
    channels().delete(this.#key);
    this.#state = connectivityState.SHUTDOWN;
    host.clearTimer(this.#timer);
    this.#failWaiting('Channel closed before call started');
    this.#closeIfUnused();
  }

  /** @returns a function that cancels the call without a further event. */
  begin(call: Call): () => void {
    const id = ++this.#lastId;
    if (this.#state === connectivityState.SHUTDOWN) this.#later(call, 'Channel closed before call started');
    else if (this.#state === connectivityState.TRANSIENT_FAILURE) this.#later(call, this.#notConnected());
    else if (this.#state === connectivityState.READY) this.#send(id, call);
    else {
      this.#waiting.set(id, call);
      if (this.#state === connectivityState.IDLE) this.#connect();
    }
    return () => {
      this.#waiting.delete(id);
      if (!this.#underWay.delete(id)) return;
      this.#connection?.cancel(id);
      this.#closeIfUnused();
    };
  }

  #send(id: number, call: Call): void {
    this.#underWay.set(id, call);
    call.begin(this.#connection!, id);
  }

  #connect(): void {
    if (this.#state === connectivityState.IDLE) this.#state = connectivityState.CONNECTING;
    const connection = host.connect(this.#address, {
      open: () => {
        if (this.#connection !== connection) return;
        this.#state = connectivityState.READY;
        this.#backoffMs = FIRST_BACKOFF_MS;
        const waiting = [...this.#waiting];
        this.#waiting.clear();
        for (const [id, call] of waiting) this.#send(id, call);
      },
      closed: (reason) => {
        if (this.#connection !== connection) return;
        this.#connection = undefined;
        if (this.#state === connectivityState.SHUTDOWN) this.#lost(reason);
        else if (this.#state === connectivityState.READY) {
          this.#state = connectivityState.IDLE;
          this.#lost(reason);
        } else this.#failed(reason);
      },
      message: (id, message) => this.#underWay.get(id)?.message(message),
      status: (id, code, details) => {
        const call = this.#underWay.get(id);
        this.#underWay.delete(id);
        call?.status({ code, details });
        this.#closeIfUnused();
      },
    });
    this.#connection = connection;
  }

  #failed(reason: string): void {
    this.#state = connectivityState.TRANSIENT_FAILURE;
    this.#lastError = reason;
    this.#failWaiting(this.#notConnected());
    const jitter = 1 + BACKOFF_JITTER * (2 * host.random() - 1);
    this.#timer = host.setTimer(() => this.#connect(), this.#backoffMs * jitter);
    this.#backoffMs = Math.min(LONGEST_BACKOFF_MS, this.#backoffMs * BACKOFF_FACTOR);
  }

  #lost(reason: string): void {
    const lost = [...this.#underWay.values()];
    this.#underWay.clear();
    for (const call of lost) call.status({ code: UNAVAILABLE, details: reason });
  }

  #failWaiting(details: string): void {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const call of waiting) this.#later(call, details);
  }

  #later(call: Call, details: string): void {
    host.setImmediate(() => call.status({ code: UNAVAILABLE, details }));
  }

  #notConnected(): string {
    return `No connection established. Last error: ${this.#lastError}. Resolution note: `;
  }

  #closeIfUnused(): void {
    if (this.#state !== connectivityState.SHUTDOWN || this.#underWay.size > 0) return;
    this.#connection?.close();
    this.#connection = undefined;
  }
}
